"""The points of a sweep on disk: one file each, named by what it depends on, whole or absent, without times."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.report.json_file import write_text
from neurochip.sweep.point import Computed

SCHEMA = "neurochip-point/1"
FOLDER = "points"


class PointStore:
    """DIR/points/<key>.json: configuration, and result or error."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._folder = directory / FOLDER

    def open(self) -> None:
        """Create the folder.

        Raises:
            UserError: it holds something else, or cannot be written.
        """
        directory = self.directory
        is_other = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
        if is_other and not self._folder.is_dir():
            raise UserError(
                f"--out {directory}: holds no sweep; give a new or empty folder, or that of a sweep, which continues"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {directory}: cannot be written ({error.strerror}); give a writable one") from error

    def read(self, key: str, configured: dict[str, Any]) -> Computed | None:
        """What is known of a point; None if nothing is, or its file is damaged or not about this configuration."""
        try:
            content = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            return None
        result, error = content.get("result"), content.get("error")
        is_whole = isinstance(result, dict) if error is None else isinstance(error, str) and result is None
        if not is_whole or content.get("key") != key or content.get("configuration") != configured:
            return None
        return Computed(result, error)

    def write(self, key: str, configured: dict[str, Any], computed: Computed) -> None:
        """Keep a point, unless it failed for a reason that may have gone another time.

        Raises:
            UserError: the folder cannot be written.
        """
        if not computed.is_lasting:
            return
        content = {"schema": SCHEMA, "key": key, "configuration": configured, **asdict(computed)}
        del content["is_lasting"]
        path = self._folder / f"{key}.json"
        try:
            write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); the points before it are kept") from error
