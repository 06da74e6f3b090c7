"""What keeps `convert` from taking recordings twice: unpacked archives, two forms of a file, an earlier event file."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path

from neurochip.archives import ARCHIVES, is_archive, is_packed_file
from neurochip.convert_files import FinalError
from neurochip.convert_sources import Source, Tree
from neurochip.errors import UserError
from neurochip.readers.recording import ReadOptions

HDF5_MARK = b"\x89HDF\r\n\x1a\n"
KEY_BYTES = 12
SEPARATORS = re.compile(r"[/:\\]")  # of folders, and of an archive and its members


def set_aside_unpacked(tree: Tree) -> list[str]:
    """Take archives out of a tree that lie beside a folder of their name with files in it; return what to tell of them.

    So do packed files (`x.gz`) beside what they hold (`x`).
    """
    loose = [path for path in tree.files if not is_archive(path.name)]
    folders = {folder for path in loose for folder in path.parents}
    by_name = {(found.parent, found.name.lower()): found for found in (*folders, *loose)}
    kept: list[Path] = []
    sentences: list[str] = []
    for path in tree.files:
        stem = _stem(path.name)
        unpacked = None if stem is None else by_name.get((path.parent, stem))
        if unpacked is None:
            kept.append(path)
        else:
            sentences.append(f"{path}: not read, because {unpacked.name} lies beside it")
    tree.files = kept
    return sentences


def refuse_two_forms(tree: Tree, options: ReadOptions) -> None:
    """Refuse recordings that lie twice in a folder, in two forms of one name; images and sounds may share names."""
    by_name = sorted(tree.files, key=lambda path: (path.parent, path.stem))
    for _, group in groupby(by_name, key=lambda path: (path.parent, path.stem)):
        found = [path for path in group if not is_archive(path.name)]
        if len(found) > 1 and all(_kind(path, options) == "events" for path in found):
            raise UserError(f"{found[0]} and {found[1].name} have one name; one form of a recording is allowed")


def refuse_event_file_beside_others(tree: Tree, options: ReadOptions) -> None:
    """Refuse an event file among files of another format: it is likely what they were converted to before."""
    marked = {path for path in tree.files if _begins_as_hdf5(path)}
    if options.format is not None or len(tree.files) < 2 or not marked:
        return
    formats = {path: _format(path) for path in marked}
    for path, format in formats.items():
        if format == "events-h5" and (len(marked) < len(tree.files) or set(formats.values()) != {format}):
            raise UserError(_beside(path))


class Seen:
    """Formats and contents of the files that were read so far."""

    def __init__(self, tree: Tree) -> None:
        self._has_archives = tree.has_archives
        self._where: dict[bytes, str] = {}
        self._idx: dict[str | None, str] = {}
        self.formats: Counter[str] = Counter()

    def add(self, source: Source, format: str) -> None:
        """Note a file.

        Raises:
            UserError: a file of the same content, name and class was read before, or one that numbers its classes anew.
        """
        self.formats[format] += 1
        if "events-h5" in self.formats and len(self.formats) > 1:
            raise FinalError(_beside(source.name))
        if format == "mnist-idx":
            first = self._idx.setdefault(source.split, source.name)
            if first != source.name:
                raise FinalError(f"{source.name}: {first} numbers classes of the same split; convert one set at a time")
        if self._has_archives:  # within folders alone, names are unique
            self._refuse_twice(source)

    def _refuse_twice(self, source: Source) -> None:
        with source.path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        name = SEPARATORS.split(source.name)[-1]
        folder = source.name.removesuffix(name)
        key = hashlib.sha256(repr((source.split, source.label, name, content)).encode()).digest()[:KEY_BYTES]
        if key in self._where:
            raise UserError(f"{source.name}: the same file lies in {self._where[key]}; each is allowed once")
        self._where[key] = sys.intern(folder)


def _stem(name: str) -> str | None:
    """The name of what an archive or packed file was made of, in small letters; None if it is neither."""
    small = name.lower()
    if is_packed_file(small) or (small.endswith(".gz") and not is_archive(small)):
        return small.removesuffix(".gz")
    return next((small.removesuffix(suffix) for suffix in ARCHIVES if small.endswith(suffix)), None)


def _format(path: Path) -> str | None:
    from neurochip.readers.registry import sniff

    try:
        return sniff(path).name
    except UserError:
        return None  # it is judged when its turn comes


def _kind(path: Path, options: ReadOptions) -> str | None:
    from neurochip.readers.registry import FORMATS

    name = options.format or _format(path)
    return None if name is None else FORMATS[name].kind


def _begins_as_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_MARK)) == HDF5_MARK
    except OSError:
        return False


def _beside(name: Path | str) -> str:
    return f"{name}: an event file beside files of another format, or made of them; convert it alone or move it away"
