"""What `convert` reads: one file, or the files of a folder tree and of its archives, with their split and class.

Splits and classes are read off the published names; what a file is, `readers` finds by its content.
"""

from __future__ import annotations

import lzma
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from neurochip.errors import UserError

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "ibmgesturetrain"), "train"),
    **dict.fromkeys(("test", "testing", "t10k", "ibmgesturetest"), "test"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "validation"),
}
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
DOCUMENTS = (".txt", ".md", ".rst", ".csv", ".pdf", ".html", ".json", ".toml", ".yaml", ".yml", ".xml", ".py", ".m")
DOCUMENT_NAMES = ("readme", "license", "licence", "copying", "sha256sums", "md5sums", "thumbs.db")
# What the standard library says of damage depends on where in the archive it is.
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, NotImplementedError, RuntimeError, TypeError, ValueError),
)
MAX_EXPANSION, FREE_BYTES = 200, 1 << 30
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """One file to read: `path` is where it lies now, `name` what the user knows it by.

    Attributes:
        split, label: as its folders say; None where they do not.
        n_bytes: what reading it adds to the progress.
    """

    path: Path
    name: str
    split: str | None
    label: int | str | None
    n_bytes: int


@dataclass
class Tree:
    """The files below a folder, sorted by name, or one file.

    Attributes:
        files: what is read.
        ignored: names of documents, which are not.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.files)

    def known_splits(self) -> set[str | None]:
        """The splits that the names of the files say; archives may hold more."""
        return {_split_of((*self._folders(path), path.name)) for path in self.files}

    @property
    def has_archives(self) -> bool:
        """Whether any file is an archive."""
        return any(is_archive(path.name) for path in self.files)

    def sources(self, damaged: Callable[[Path, UserError], None]) -> Iterator[Source]:
        """Yield every file; one out of an archive lies in a temporary place until the next is asked for.

        `damaged` is called with an archive that breaks off, or holds something else than files within it.
        """
        for path in self.files:
            folders = self._folders(path)
            if is_archive(path.name):
                try:
                    yield from self._members(path, folders)
                except UserError as error:
                    damaged(path, error)
            else:
                split, label = _split_of((*folders, path.name)), _label_of(folders)
                yield Source(path, str(path), split, label, path.stat().st_size)

    def _folders(self, path: Path) -> tuple[str, ...]:
        """The folders between the root and the file; for a single file none."""
        return () if path == self.root else path.relative_to(self.root).parts[:-1]

    def _members(self, archive: Path, folders: tuple[str, ...]) -> Iterator[Source]:
        outer = (*folders, archive.name)
        with tempfile.TemporaryDirectory(prefix="neurochip-") as scratch:
            place, read_before = Path(scratch) / "member", 0
            for name, compressed in _unpacked(archive, place):
                parts = PurePosixPath(name).parts
                display = f"{archive}:{name}"
                if _is_document(parts):
                    self.ignored.append(display)
                    continue
                split = _split_of((*outer, *parts))
                yield Source(place, display, split, _label_of(parts[:-1]), compressed - read_before)
                read_before = compressed


def find_files(path: Path) -> Tree:
    """Return the files of a folder tree or the one file `path`.

    Hidden files and documents are left out. Raises UserError if there is none.
    """
    if path.is_file():
        return Tree(path, [path])
    if not path.is_dir():
        raise UserError(f"{path} does not exist; give a file or a folder of recordings, images or sounds")
    tree = Tree(path)
    for file in sorted(path.rglob("*"), key=lambda found: found.relative_to(path).parts):
        parts = file.relative_to(path).parts
        if any(part.startswith((".", "__MACOSX")) for part in parts) or not file.is_file():
            continue
        if _is_document(parts):
            tree.ignored.append(str(file))
        else:
            tree.files.append(file)
    if not tree.files:
        raise UserError(
            f"{path} holds no recording, image or sound; give a file, or a folder with one folder per class"
        )
    return tree


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive; a .npz is none."""
    return name.lower().endswith(ARCHIVES)


def _is_document(parts: tuple[str, ...]) -> bool:
    name = parts[-1].lower()
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return hidden or name.endswith(DOCUMENTS) or name.partition(".")[0] in DOCUMENT_NAMES or name in DOCUMENT_NAMES


def _split_of(parts: tuple[str, ...]) -> str | None:
    """The split that the first telling folder says, or the file name."""
    for part in parts:
        stem = re.sub(r"\.(tar\.gz|tgz|tar|zip|h5|hdf5|gz)$", "", part.lower())
        for word in re.split(r"[^a-z0-9]+", stem):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def _label_of(folders: tuple[str, ...]) -> int | str | None:
    """The class: the innermost folder, unless it is a split."""
    if not folders or (_split_of(folders[-1:]) is not None and _split_of(folders[:-1]) is None):
        return None
    return folders[-1]


def _unpacked(archive: Path, place: Path) -> Iterator[tuple[str, int]]:
    """Write one member after the other to `place`; yield its name and how much of the archive was read."""
    budget = _Budget(archive)
    try:
        if archive.name.lower().endswith(".zip"):
            yield from _unzipped(archive, place, budget)
        else:
            yield from _untarred(archive, place, budget)
    except UserError:
        raise
    except DAMAGE as error:
        raise UserError(f"{archive} is damaged or no archive ({error or type(error).__name__})") from error


def _unzipped(archive: Path, place: Path, budget: _Budget) -> Iterator[tuple[str, int]]:
    read = 0
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            read += member.compress_size
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise UserError(f"{archive}: {member.filename} is encrypted; unpack it first")
            _check_name(archive, member.filename)
            with opened.open(member) as stream:
                budget.copy(stream, place)
            yield member.filename, read


def _untarred(archive: Path, place: Path, budget: _Budget) -> Iterator[tuple[str, int]]:
    with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as opened:
        listing: Any = opened  # its list of members is no part of its types
        for member in opened:
            listing.members = []  # tarfile keeps every member it ever saw
            if member.isdir():
                continue
            _check_name(archive, member.name)
            stream = opened.extractfile(member) if member.isfile() else None
            if stream is None:
                raise UserError(f"{archive}: {member.name} is a link or device; allowed are files and folders")
            budget.copy(stream, place)
            yield member.name, raw.tell()


def _check_name(archive: Path, name: str) -> None:
    """Refuse names that lead out of the archive; nothing is ever written under them, but they tell of no good."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise UserError(f"{archive}: the member {name!r} lies outside of the archive; it is refused")


class _Budget:
    """What all members of an archive may expand to."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._left = self._allowed = MAX_EXPANSION * archive.stat().st_size + FREE_BYTES

    def copy(self, stream: IO[bytes] | Any, place: Path) -> None:
        """Write a member to `place`; raises UserError before the archive expands to more than is allowed."""
        with place.open("wb") as file:
            while block := stream.read(COPY_BYTES):
                self._left -= len(block)
                if self._left < 0:
                    raise UserError(
                        f"{self._archive} expands to more than {self._allowed} bytes, {MAX_EXPANSION} times its size; "
                        "unpack it yourself if that is right"
                    )
                file.write(block)
