"""Markers and fixtures that more than one test file uses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

MARKERS = {
    "bench": "a ratio of two times measured in the same run; run it alone, not beside other work",
    "recordings": "needs recordings of a real event camera, in the folder NEUROCHIP_DATA_DIR names",
    "peers": "needs a peer simulator (the extra `peers`)",
    "slow": "takes longer than ten seconds",
}

# The same examples in every run: a failure seen once can be seen again.
settings.register_profile("neurochip", derandomize=True, deadline=None, database=None)
settings.load_profile("neurochip")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it puts in the background with Ctrl-C ignored, and every process under it inherits that.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def recording(relative: str) -> Path:
    """Return a file below NEUROCHIP_DATA_DIR, or skip the test and say which file is missing."""
    folder = os.environ.get("NEUROCHIP_DATA_DIR")
    if not folder:
        pytest.skip(f"NEUROCHIP_DATA_DIR is not set, so there is no {relative}")
    path = Path(folder) / relative
    if not path.is_file():
        pytest.skip(f"NEUROCHIP_DATA_DIR holds no {relative}")
    return path


@pytest.fixture(scope="session")
def nmnist4_path() -> Path:
    """N-MNIST recordings of the digits 6 to 9, as one HDF5 file."""
    return recording("nmnist4/nmnist_digits6789.h5")


@pytest.fixture(scope="session")
def source_tree() -> Path:
    """The root of the repository, for tests of its docs, scripts or files; skips where only an installed package is."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "setup.cfg").is_file() or not (root / "neurochip").is_dir():
        pytest.skip("the tests lie outside the source tree of neurochip")
    return root
