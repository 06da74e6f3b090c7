"""The files of a published data set, found below a folder, loose or in archives, in the order of their names."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from neurochip.convert_sources import Tree, find_files, is_archive
from neurochip.errors import UserError
from neurochip.tasks.registry import Progress
from neurochip.tasks.splits import hold_out

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        path: where it lies now; name: what the user knows it by; parts: folders and name below the data folder.
        split, label: as its name and folders say; None where the file itself says it.
    """

    path: Path
    name: str
    parts: tuple[str, ...]
    split: str | None
    label: int | str | None


@dataclass(frozen=True)
class Place:
    """What the name and folders of a file say; a split of None: the set has no official one, or the file says it."""

    split: str | None = None
    label: int | str | None = None


PlaceOf = Callable[[tuple[str, ...]], Place | None]
"""Folders and name of a file to its place; None: not of the set; ValueError(why): of the set, and misplaced."""


def published_files(folder: Path, place_of: PlaceOf, scratch: Path, progress: Progress) -> list[DataFile]:
    """Return the files of a set below `folder`, sorted by folders and name.

    Archives are unpacked to `scratch` if there is no loose file. If some files are of an official split, those that
    are of none are left out.

    Raises:
        UserError: no folder, no file, a damaged archive, a misplaced file, or the same file twice.
    """
    if not folder.is_dir():
        raise UserError(f"task.path: {folder} is no folder")
    tree = find_files(folder)
    loose = [path for path in tree.files if not is_archive(path.name)]
    files = [_placed(path, str(path), path.relative_to(folder).parts, place_of) for path in loose]
    found = [file for file in files if file is not None]
    if not found:
        archives = [path for path in tree.files if is_archive(path.name)]
        found = [file for path in archives for file in _members(folder, path, place_of, scratch)]
    if not found:
        raise UserError(f"task.path: {folder} holds no file of this data set")
    if any(file.split for file in found) and not all(file.split for file in found):
        without = sum(1 for file in found if not file.split)
        progress(f"{folder}: {without} files of no official split left out")
        found = [file for file in found if file.split]
    found.sort(key=lambda file: file.parts)
    _refuse_twice(found)
    return found


def with_split(files: list[DataFile], share: float, seed: str) -> list[DataFile]:
    """Return the files with `share` of every class as test split (`splits.hold_out`), the others as train."""
    names = sorted({str(file.label) for file in files})
    labels = np.array([names.index(str(file.label)) for file in files], dtype=np.int64)
    held = set(hold_out(labels, share, seed)[1].tolist())
    return [replace(file, split=TEST if index in held else TRAIN) for index, file in enumerate(files)]


def files_sha256(files: list[DataFile], progress: Progress, task: str) -> str:
    """Return a hash of the bytes, names, splits and labels of all files."""
    from neurochip.tasks.kept_files import file_sha256

    progress(f"{task}: checking {len(files)} files")
    digest = hashlib.sha256()
    for file in files:
        digest.update(repr((file.parts, file.split, file.label, file_sha256(file.path))).encode())
    return digest.hexdigest()


def _placed(path: Path, name: str, parts: tuple[str, ...], place_of: PlaceOf) -> DataFile | None:
    try:
        place = place_of(parts)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    return None if place is None else DataFile(path, name, parts, place.split, place.label)


def _members(folder: Path, archive: Path, place_of: PlaceOf, scratch: Path) -> list[DataFile]:
    """Unpack the files of an archive that are of the set, under names of our own."""

    def damaged(path: Path, error: UserError) -> None:
        raise error

    found: list[DataFile] = []
    if archive.stat().st_size == 0:
        return found
    for source in Tree(archive.parent, [archive]).sources(damaged):
        member = source.name.removeprefix(f"{archive}:")
        parts = (*archive.relative_to(folder).parts[:-1], *PurePosixPath(member).parts)
        file = _placed(source.path, source.name, parts, place_of)
        if file is not None:
            target = scratch / f"{archive.name}-{len(found)}"
            shutil.copyfile(source.path, target)
            found.append(replace(file, path=target))
    return found


def _refuse_twice(files: list[DataFile]) -> None:
    seen: dict[tuple[object, ...], DataFile] = {}
    for file in files:
        key = (file.split, file.label, *file.parts[-2:])
        if key in seen:
            raise UserError(f"{file.name} and {seen[key].name} stand for the same recording; one of them is allowed")
        seen[key] = file
