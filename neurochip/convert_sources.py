"""What `convert` reads: one file, or the files of a folder tree and of its archives, with their split and class.

Splits and classes are read off the published names; what a file is, `readers` finds by its content.
"""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from neurochip.archives import NoRoomError, is_archive, is_packed_file, scratch_folder, unpacked
from neurochip.errors import UserError
from neurochip.readers import mnist_idx
from neurochip.readers.source import probe

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "ibmgesturetrain"), "train"),
    **dict.fromkeys(("test", "testing", "t10k", "ibmgesturetest"), "test"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "validation"),
}
DOCUMENTS = (".txt", ".md", ".rst", ".csv", ".pdf", ".html", ".json", ".toml", ".yaml", ".yml", ".xml", ".py", ".m")
HIDDEN = (".", "__MACOSX")
DOCUMENT_NAMES = ("readme", "license", "licence", "copying", "sha256sums", "md5sums", "thumbs.db")


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
        excluded: names of files and folders that the user left out.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def how_to_exclude(self, name: str) -> str:
        """What leaves out the file, or the archive around the file, that `Source.name` names; "" for a single file."""
        for path in self.files:
            if path != self.root and (name == str(path) or name.startswith(f"{path}:")):
                pattern = shlex.quote(glob.escape(path.relative_to(self.root).as_posix()))
                return f"; --exclude {pattern} leaves {'it' if name == str(path) else 'the archive'} out"
        return ""

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
                except NoRoomError:
                    raise
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
        above = folders if is_packed_file(archive.name) else ()
        with scratch_folder() as scratch:
            place, read_before = scratch / "member", 0
            waiting: list[Source] = []
            numbers: dict[tuple[str, ...], int] = {}
            for name, compressed in unpacked(archive, place):
                parts = PurePosixPath(name).parts
                display = f"{archive}:{name}"
                if _is_document(parts):
                    self.ignored.append(display)
                    continue
                label = _label_of((*above, *parts[:-1]))
                source = Source(place, display, _split_of((*outer, *parts)), label, compressed - read_before)
                read_before = compressed
                if _is_idx(place, parts[-1]):
                    beside = scratch / str(numbers.setdefault(parts[:-1], len(numbers)))
                    waiting.append(_kept(source, beside, parts[-1]))
                else:
                    yield source
            yield from waiting


def _is_idx(place: Path, name: str) -> bool:
    """Whether a member is a file of MNIST, whose images and labels are found by each other's names."""
    if not re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII) or not re.search("images|labels", name):
        return False
    if place.stat().st_size == 0:
        return False
    beginning = probe(place)
    return mnist_idx.matches(beginning) or mnist_idx.matches_labels(beginning)


def _kept(source: Source, folder: Path, name: str) -> Source:
    """Keep a member beside the others of its folder until the end of the archive."""
    folder.mkdir(exist_ok=True)
    return replace(source, path=source.path.rename(folder / name))


class Exclusion:
    """Shell patterns; a file or folder is left out if its name, its path from the root or its whole path matches one.

    Attributes:
        found: what matched.
    """

    def __init__(self, root: Path, patterns: Sequence[str]) -> None:
        self._root, self._unused = root, set(patterns)
        self._patterns = {pattern: PurePosixPath(pattern).as_posix() for pattern in patterns}  # "./x/" is "x"
        self.found: list[str] = []

    def matches(self, path: Path) -> bool:
        """Whether a file or folder is left out; notes that it is."""
        names = (path.name, path.relative_to(self._root).as_posix(), path.as_posix())
        matching = {given for given, plain in self._patterns.items() if any(fnmatchcase(name, plain) for name in names)}
        self._unused -= matching
        self.found += [str(path)] * bool(matching)
        return bool(matching)

    def check(self) -> None:
        """Raise UserError for a pattern that matched nothing, which is likely a slip."""
        for pattern in self._patterns:
            if pattern in self._unused:
                raise UserError(
                    f"--exclude {pattern}: no file or folder below {self._root} has this name or path; those in "
                    "archives cannot be left out one by one"
                )


def find_files(path: Path, exclude: Sequence[str] = ()) -> Tree:
    """Return the files of a folder tree or the one file `path`.

    Hidden files, documents and what matches a pattern of `exclude` are left out, links are followed. Raises UserError
    if there is none, for a pattern that matches nothing, or for what can be no file: a folder that cannot be read, a
    link to nothing or to a folder around it, a pipe, a device.
    """
    exclusion = Exclusion(path, exclude)
    if path.is_file():
        exclusion.check()
        return Tree(path, [path])
    if not path.is_dir():
        raise UserError(f"{path} does not exist; give a file or a folder of recordings, images or sounds")
    tree = Tree(path, excluded=exclusion.found)
    for file in _walk(path, (), exclusion):
        if _is_document(file.relative_to(path).parts):
            tree.ignored.append(str(file))
        else:
            tree.files.append(file)
    exclusion.check()
    if not tree.files:
        beside = " beside what is excluded" if tree.excluded else ""
        raise UserError(
            f"{path} holds no recording, image or sound{beside}; give a file, or a folder with one folder per class"
        )
    return tree


def _walk(folder: Path, around: tuple[Path, ...], exclusion: Exclusion) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden, sorted by the names on the way to them."""
    try:
        here = folder.resolve(strict=True)
        entries = [(entry, entry.is_dir(), entry.is_file()) for entry in sorted(folder.iterdir(), key=_name)]
    except OSError as error:
        raise UserError(f"{folder}: this folder cannot be read ({error.strerror or error})") from error
    if here in around:
        raise UserError(f"{folder} is a link to a folder around it; remove it")
    for entry, is_folder, is_file in entries:
        if entry.name.startswith(HIDDEN) or exclusion.matches(entry):
            continue
        if is_folder:
            yield from _walk(entry, (*around, here), exclusion)
        elif is_file:
            yield entry
        else:
            what = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
            raise UserError(f"{entry} is {what}; remove it")


def _name(path: Path) -> str:
    return path.name


def _is_document(parts: tuple[str, ...]) -> bool:
    name = parts[-1].lower()
    hidden = any(part.startswith(HIDDEN) for part in parts)
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
