"""The files of a published data set, found below a folder, loose or in archives, in the order of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from neurochip.archives import is_archive, is_packed_file, unpacked
from neurochip.convert_sources import find_files
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
        labels: a text file that says the classes of its samples.
    """

    path: Path
    name: str
    parts: tuple[str, ...]
    split: str | None
    label: int | str | None
    labels: Path | None = None


@dataclass(frozen=True)
class Place:
    """What the name and folders of a file say; a split of None: the set has no official one, or the file says it."""

    split: str | None = None
    label: int | str | None = None


PlaceOf = Callable[[tuple[str, ...]], Place | None]
"""Folders and name of a file to its place; None: not of the set; ValueError(why): of the set, and misplaced."""


class Texts(NamedTuple):
    """Text files that say something of others.

    is_text: whether a name is that of one; apply: files and texts, by folders and name, to files with what they say.
    """

    is_text: Callable[[str], bool]
    apply: Callable[[list[DataFile], Mapping[tuple[str, ...], Path], Progress], list[DataFile]]


def published_files(
    folder: Path, place_of: PlaceOf, scratch: Path, progress: Progress, texts: Texts | None = None
) -> list[DataFile]:
    """Return the files of a set below `folder`, sorted by folders and name.

    To `scratch` are unpacked single files, if they are not there unpacked, and archives, if there is no other file. If
    some files are of an official split, those that are of none are left out.

    Raises:
        UserError: no folder, no file, a damaged archive, a misplaced file, a file twice, or what `texts` refuses.
    """
    if not folder.is_dir():
        raise UserError(f"task.path: {folder} is no folder")
    paths = [(path, path.relative_to(folder).parts) for path in find_files(folder).files]
    placed = [_placed(path, str(path), parts, place_of) for path, parts in paths if not is_archive(path.name)]
    files = [file for file in placed if file is not None]
    files += _unpacked(folder, _packed_files(paths, files, place_of), place_of, scratch, None)[0]
    if files:
        beside = _texts_beside(folder, files, texts)
    else:
        archives = [path for path, _ in paths if is_archive(path.name) and not is_packed_file(path.name)]
        files, beside = _unpacked(folder, archives, place_of, scratch, texts)
    if not files:
        raise UserError(f"task.path: {folder} holds no file of this data set")
    if any(file.split for file in files) and not all(file.split for file in files):
        without = sum(1 for file in files if not file.split)
        progress(f"{folder}: {without} files of no official split left out")
        files = [file for file in files if file.split]
    files.sort(key=lambda file: file.parts)
    _refuse_twice(files)
    return files if texts is None else texts.apply(files, beside, progress)


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
        contents = [file_sha256(path) for path in (file.path, file.labels) if path is not None]
        digest.update(repr((file.parts, file.split, file.label, contents)).encode())
    return digest.hexdigest()


def _placed(path: Path, name: str, parts: tuple[str, ...], place_of: PlaceOf) -> DataFile | None:
    try:
        place = place_of(parts)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    return None if place is None else DataFile(path, name, parts, place.split, place.label)


def _packed_files(paths: list[tuple[Path, tuple[str, ...]]], files: list[DataFile], place_of: PlaceOf) -> list[Path]:
    """Return the files NAME.gz of the set where NAME is not among `files`."""
    there = {file.parts for file in files}
    bare = [(path, (*parts[:-1], parts[-1][: -len(".gz")])) for path, parts in paths if is_packed_file(path.name)]
    return [path for path, parts in bare if parts not in there and _placed(path, str(path), parts, place_of)]


def _texts_beside(folder: Path, files: list[DataFile], texts: Texts | None) -> dict[tuple[str, ...], Path]:
    """Return the text files in the folders of `files`."""
    if texts is None:
        return {}
    folders = {folder.joinpath(*file.parts[:-1]) for file in files}
    paths = [path for place in folders for path in place.iterdir() if texts.is_text(path.name) and path.is_file()]
    return {path.relative_to(folder).parts: path for path in paths}


def _unpacked(
    folder: Path, archives: list[Path], place_of: PlaceOf, scratch: Path, texts: Texts | None
) -> tuple[list[DataFile], dict[tuple[str, ...], Path]]:
    """Unpack the files of archives that are of the set, and its texts, under names of our own."""
    files: list[DataFile] = []
    beside: dict[tuple[str, ...], Path] = {}
    for archive in archives:
        outer = archive.relative_to(folder).parts[:-1]
        if archive.stat().st_size == 0:
            continue
        for member, _ in unpacked(archive, scratch / "member"):
            inner = PurePosixPath(member).parts
            target = scratch / f"member-{len(files) + len(beside)}"
            if any(part.startswith((".", "__MACOSX")) for part in inner):
                continue
            if texts is not None and texts.is_text(inner[-1]):
                beside[*outer, *inner] = (scratch / "member").rename(target)
            elif file := _placed(target, f"{archive}:{member}", (*outer, *inner), place_of):
                files.append(file)
                (scratch / "member").rename(target)
    return files, beside


def _refuse_twice(files: list[DataFile]) -> None:
    seen: dict[tuple[object, ...], DataFile] = {}
    for file in files:
        key = (file.split, file.label, *file.parts[-2:])
        if key in seen:
            raise UserError(f"{file.name} and {seen[key].name} stand for the same recording; one of them is allowed")
        seen[key] = file
