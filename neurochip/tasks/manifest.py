"""Data-set manifests: `datasets/<name>.toml` says where the data of a task comes from and under which licence."""

from __future__ import annotations

import tomllib
from typing import Any

from neurochip._data import data_folder

MANIFEST_TEXT = ("title", "source", "licence", "citation", "notes")


def read_manifest(name: str) -> dict[str, Any]:
    """Return the manifest of a task; in a wheel it lies inside the package, in a checkout beside it."""
    return tomllib.loads((data_folder("datasets") / f"{name}.toml").read_text(encoding="utf-8"))


def provenance(name: str) -> dict[str, str]:
    """Return the text entries of a manifest that a report repeats."""
    manifest = read_manifest(name)
    return {key: str(manifest[key]) for key in MANIFEST_TEXT if key in manifest}
