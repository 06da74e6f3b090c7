"""Downloads by tonic, and nothing else of it: what was downloaded is read like any other folder.

tonic (GPL-3.0-only) is imported when a download is asked for. Its data set classes are made only for the files they
leave behind: their order follows the file system and some open a file again for every sample.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.tasks.registry import Progress


@dataclass(frozen=True)
class TonicSet:
    """A class of tonic.datasets, the folder it fills, and the arguments of each call that fetches a part."""

    class_name: str
    folder: str
    calls: tuple[Mapping[str, Any], ...]


def download(wanted: TonicSet, save_to: Path, task: str, source: str, progress: Progress) -> Path:
    """Let tonic fetch a data set, unless it finds it there, and return the folder with its files.

    Raises:
        UserError: no tonic, or tonic failed; the sentence says where else the files are from.
    """
    try:
        from tonic import datasets
    except ImportError as error:
        raise UserError(f"task.download = true needs the package tonic ({error}); or set task.path") from error
    progress(f"{task}: tonic looks for the files in {save_to} and downloads what is missing")
    try:
        save_to.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):  # tonic prints, and standard output is the user's
            for arguments in wanted.calls:
                getattr(datasets, wanted.class_name)(save_to=str(save_to), **arguments)
    # Anything may come out of a download: network, archive and file errors, and tonic's own.
    except Exception as error:
        text = str(error) or type(error).__name__
        raise UserError(
            f"task.download = true: tonic could not fetch {wanted.class_name} ({text}); get the files from {source} "
            "and name their folder in task.path"
        ) from error
    return save_to / wanted.folder
