"""Event files that can be made again, kept in the cache folder under the hash of all that they follow from."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from neurochip.errors import UserError
from neurochip.tasks.registry import Progress


@contextmanager
def kept_event_file(
    cache_dir: Path, name: str, key: str, write: Callable[[Path], None], progress: Progress
) -> Iterator[Path]:
    """Yield the event file `key`: that of the cache if it is as it was written, else one made by `write(path)`.

    Where the cache folder cannot be written the file is made in a temporary folder, which costs a note.

    Raises:
        UserError: what `write` raises, or a disk without room.
    """
    path = cache_dir / f"{name}-{key[:16]}.h5"
    if _is_as_written(path, key):
        progress(f"{name}: recordings taken from {path}")
        yield path
        return
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_dir):
            pass
    except OSError as error:
        progress(f"{name}: recordings not kept, the cache folder {cache_dir} cannot be written ({error})")
        with tempfile.TemporaryDirectory(prefix="neurochip-") as scratch:
            path = Path(scratch) / path.name
            _written(path, write)
            yield path
        return
    _written(path, write)
    _note_of(path).write_text(f"{key} {file_sha256(path)}\n", encoding="ascii")
    progress(f"{name}: recordings kept in {path}")
    yield path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_sha256(modules: Sequence[ModuleType | Path]) -> str:
    """Return the SHA-256 (hex) of the source of modules, and of all modules of a folder."""
    files: list[Path] = []
    for module in modules:
        place = module if isinstance(module, Path) else Path(str(module.__file__))
        files += sorted(place.glob("*.py")) if place.is_dir() else [place]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _written(path: Path, write: Callable[[Path], None]) -> None:
    try:
        write(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); make room there or let the environment name "
            "another cache folder (XDG_CACHE_HOME on Linux)"
        ) from error


def _note_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_as_written(path: Path, key: str) -> bool:
    try:
        return _note_of(path).read_text(encoding="ascii").split() == [key, file_sha256(path)]
    except (OSError, UnicodeDecodeError):
        return False
