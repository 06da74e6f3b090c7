"""Data-set manifests: `datasets/<name>.toml` says where the data of a task comes from and under which licence."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

MANIFEST_TEXT = ("title", "source", "licence", "citation", "notes")


def read_manifest(name: str) -> dict[str, Any]:
    """Return the manifest of a task; in a wheel it lies inside the package, in a checkout beside it."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "datasets", package.parent / "datasets"):
        place = folder / f"{name}.toml"
        if place.is_file():
            return tomllib.loads(place.read_text(encoding="utf-8"))
    raise FileNotFoundError(f"the manifest {name}.toml is not in the installed package; reinstall neurochip")


def provenance(name: str) -> dict[str, str]:
    """Return the text entries of a manifest that a report repeats."""
    manifest = read_manifest(name)
    return {key: str(manifest[key]) for key in MANIFEST_TEXT if key in manifest}
