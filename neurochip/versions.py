"""Versions of everything that the numbers of a report depend on."""

from __future__ import annotations

import platform
from importlib.metadata import version

from neurochip._version import __version__

# Arrays; kernels and the compiler below them; files of events; the digits data; filters; recordings.
PACKAGES = ("numpy", "numba", "llvmlite", "h5py", "scikit-learn", "scipy", "tonic")


def versions() -> dict[str, str]:
    """Name -> version of neurochip, Python and the packages."""
    return {
        "neurochip": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


__all__ = ["versions"]
