"""Which class a sample of `convert` belongs to, and what the labels of a conversion are called."""

from __future__ import annotations

import re
from collections.abc import Collection

from neurochip.archives import is_archive, is_packed_file
from neurochip.convert_files import EventFileHeader, FinalError
from neurochip.convert_items import Label
from neurochip.convert_sources import SPLIT_WORDS, Source, Tree
from neurochip.errors import UserError

MAX_NAMES_BYTES = 60_000
GESTURE_FOLDER, GESTURE_USER = "ibmgesture", re.compile(r"user\d+")


class Classes:
    """The classes that files and folders name, as far as they were seen; each is named in one way only."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._archives = [path for path in tree.files if is_archive(path.name)]
        self._texts: dict[int, str] = {}
        self._above: dict[tuple[str, str | None], tuple[tuple[str, ...], str]] = {}
        self._listed: tuple[tuple[str, ...] | None, str] | None = None

    def of(self, source: Source, of_item: Label | None) -> Label:
        """Return the class that the file says, or its folder; digits are a number.

        Raises:
            UserError: nothing names the class, or two ways to read the folders.
        """
        if of_item is None and source.label is not None:
            self._check_folders(source)
        label = source.label if of_item is None else of_item
        if label is None:
            raise UserError(f"{source.name}: nothing names its class; put the files of each class into a folder")
        if isinstance(label, int):
            return label
        try:
            label.encode()
        except UnicodeEncodeError:
            raise UserError(f"{source.name}: the name of the class {label!r} is not UTF-8; rename it") from None
        if not (label.isdecimal() and label.isascii()):
            return label
        number = int(label)
        first = self._texts.setdefault(number, label)
        if first != label:
            raise FinalError(f"{source.name}: the classes {first} and {label} are the same number; rename one of them")
        return number

    def check_header(self, source: Source, header: EventFileHeader) -> None:
        """Refuse event files whose labels stand for other classes than those of the files before."""
        names, first = self._listed = self._listed or (header.class_names, source.name)
        if names != header.class_names:
            raise FinalError(
                f"{source.name}: its class_names differ from those of {first}; one event file holds one list"
            )

    def numbers(self, labels: Collection[Label]) -> tuple[dict[Label, int], tuple[str, ...] | None]:
        """Return the number of every label, and the names of the numbers from 0 if there are any."""
        if all(isinstance(label, int) for label in labels):
            numbers = {label: int(label) for label in labels}
            bad = next((number for number in numbers.values() if not -(2**31) <= number < 2**31), None)
            if bad is not None:
                raise UserError(f"the label {bad} is too large; allowed is -2147483648 to 2147483647")
            return numbers, _fitting(self._listed[0] if self._listed else None)
        names = _fitting(tuple(sorted({str(label) for label in labels}))) or ()
        return {label: names.index(str(label)) for label in labels}, names

    def _check_folders(self, source: Source) -> None:
        """Refuse folders of which nothing says whether they are classes."""
        container, folders = self._place(source)
        around = "/".join((self._tree.root.name, container, *folders)).lower()
        if GESTURE_FOLDER in around and GESTURE_USER.match(str(source.label)):
            raise FinalError(
                f"{source.name}: in DVS Gesture the folders are users, not classes; the task dvs-gesture reads it"
            )
        telling = [index for index, folder in enumerate(folders) if _says_split(folder)]
        above = folders[telling[-1] + 1 if telling else 0 :][:-1]
        before, first = self._above.setdefault((container, source.split), (above, source.name))
        if above != before:
            raise FinalError(
                f"{source.name}: its folder lies in {'/'.join(above) or 'no other'}, that of {first} in "
                f"{'/'.join(before) or 'no other'}; allowed is one level of folders, one for each class"
            )

    def _place(self, source: Source) -> tuple[str, tuple[str, ...]]:
        """The folder tree or archive of a file, and the folders within."""
        archive = next((path for path in self._archives if source.name.startswith(f"{path}:")), None)
        if archive is not None and is_packed_file(archive.name):
            return "", archive.relative_to(self._tree.root).parts[:-1] if archive != self._tree.root else ()
        if archive is not None:
            member = source.name.removeprefix(f"{archive}:")
            return str(archive), tuple(part for part in member.split("/")[:-1] if part not in ("", "."))
        if source.path == self._tree.root:
            return "", ()
        return "", source.path.relative_to(self._tree.root).parts[:-1]


def _says_split(folder: str) -> bool:
    return any(word in SPLIT_WORDS for word in re.split(r"[^a-z0-9]+", folder.lower()))


def _fitting(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Refuse names that an attribute cannot hold."""
    size = sum(len(name.encode()) for name in names or ())
    if size > MAX_NAMES_BYTES:
        raise UserError(f"the names of {len(names or ())} classes take {size} bytes; allowed are {MAX_NAMES_BYTES}")
    return names
