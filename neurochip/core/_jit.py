"""All options of numba, in one place: `jit`, and a disk cache that cannot go stale.

numba's cache looks at the file of the function it compiles, not at the modules that file imports, so an edited
helper would leave old machine code in use. The cache directory is therefore named after a hash of all kernel sources.
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from platformdirs import user_cache_dir

Function = TypeVar("Function", bound=Callable[..., Any])

BOUNDSCHECK: bool = os.environ.get("NEUROCHIP_BOUNDSCHECK", "") == "1"
"""Whether kernels check every index; set by the environment variable NEUROCHIP_BOUNDSCHECK=1 (for tests, slow)."""


def source_hash() -> str:
    """Return 16 hex digits over all kernel sources, the constants they freeze, and the versions of numba and Python."""
    digest = hashlib.sha256(f"{numba.__version__} {platform.python_version()}".encode())
    package = Path(__file__).parent.parent
    sources = [*package.glob("core/**/*.py"), *package.glob("rules/**/*.py"), package / "activity.py"]
    for path in sorted(sources):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Return the directory of compiled kernels, named after their sources.

    It lies in the one that NUMBA_CACHE_DIR names, in the user's cache, or in a private one under the temporary
    directory.
    """
    name = f"numba-{source_hash()}" + ("-boundscheck" if BOUNDSCHECK else "")
    asked = [Path(place) for place in [os.environ.get("NUMBA_CACHE_DIR")] if place]
    for base in (*asked, Path(user_cache_dir("neurochip")), _temporary_base()):
        if _is_writable(base / name):
            return base / name
    return Path(tempfile.mkdtemp(prefix="neurochip-"))


def _temporary_base() -> Path:
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"neurochip-{user}"


def _is_writable(directory: Path) -> bool:
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        # numba unpickles what it finds there, so another user's directory must not be used.
        return not hasattr(os, "getuid") or directory.stat().st_uid == directory.parent.stat().st_uid == os.getuid()
    except OSError:
        return False


_CACHE_DIRECTORY = str(cache_directory())


def jit_inline(function: Function) -> Function:
    """Compile like `jit`, but as a part of its only caller.

    A kernel is optimised once more with each kernel above it, so a long chain of calls would take minutes to compile.
    A call that is left also copies every field of every array that it is given to the stack, hundreds of words for a
    layout, state and scratch: in the loop over steps that can cost as much as the work of a layer.
    """
    return _compiled(function, inline="always")


def jit(function: Function) -> Function:
    """Compile a kernel: no fast-math, no allocation, IEEE division by zero, interpreter lock released, disk cache."""
    return _compiled(function)


def _compiled(function: Function, **more_options: str) -> Function:
    config: Any = numba.config
    before = config.CACHE_DIR
    # numba reads the directory when it decorates; set only for that moment, other users of numba keep their own.
    config.CACHE_DIR = _CACHE_DIRECTORY
    try:
        # Kernels allocate nothing, so arrays need no reference counts; counting those of every slice took a third of
        # the time of a step. A kernel that did allocate would not compile.
        njit: Any = numba.njit
        options: dict[str, Any] = {"boundscheck": BOUNDSCHECK, "nogil": True, "error_model": "numpy", "_nrt": False}
        return cast(Function, njit(cache=True, **options, **more_options)(function))
    finally:
        config.CACHE_DIR = before
