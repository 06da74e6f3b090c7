"""What one file of `convert` holds, and what is said of it: format, items, attributes, remarks, its name in errors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from neurochip.convert_sources import Source
from neurochip.errors import UserError
from neurochip.event_file import MICROSECOND, check_time_unit
from neurochip.events import Window
from neurochip.readers.recording import RawItem, ReadOptions

LABELS = "labels"
"""Stands for the format of a file that holds the labels of another."""
PACKED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2", b"(\xb5/\xfd": "zstandard"}
KEPT_TEXT_BYTES = 60_000


class FinalError(UserError):
    """A whole sentence, which names its file, and which leaving that file out would not answer."""


@dataclass(frozen=True)
class EventFileHeader:
    """What the root of an event file says; other formats say none of it.

    Attributes:
        texts: attributes that a copy keeps, such as the licence.
    """

    window_us: Window | None = None
    class_names: tuple[str, ...] | None = None
    texts: dict[str, str] = field(default_factory=dict)


def format_of(source: Source, options: ReadOptions) -> str:
    """Return the name of the format of a file, or LABELS; raises UserError."""
    from neurochip.readers.registry import sniff

    try:
        found = sniff(source.path)
    except UserError:
        if options.format is not None:
            return options.format
        _refuse_packed(source)
        raise
    return LABELS if found.kind == "labels" else options.format or found.name


def items_of(source: Source, format: str, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield the items of a file, and put what its reader remarks into `remarks`; labels alone have none.

    Raises:
        UserError: a damaged file.
    """
    from neurochip.readers.registry import read

    if format == LABELS:
        return
    yield from read(source.path, replace(options, format=format), remarks=remarks)


def header_of(source: Source, format: str) -> EventFileHeader:
    """Return what the root of a file says, which only event files do.

    Raises:
        UserError: another time unit than the microsecond, or class names that are no list of words.
    """
    from neurochip.readers.hdf5 import event_header

    if format != "events-h5":
        return EventFileHeader()
    window, found = event_header(source.path)
    check_time_unit(found.pop("time_unit", MICROSECOND[0]))
    names: Any = found.pop("class_names", None)
    if names is not None and not isinstance(names, list):
        raise UserError(f"{source.name}: class_names = {names!r} must be a list of names")
    texts = {key: text for key, text in found.items() if isinstance(text, str) and key != "converter"}
    return EventFileHeader(window, None if names is None else tuple(names), texts)


def named(source: Source, error: UserError) -> str:
    """Return the sentence of an error with the name by which the user knows the file."""
    text = str(error).replace(str(source.path), source.name)
    return text if source.name in text else f"{source.name}: {text}"


class Remarks:
    """What readers remark, each sentence once for all files: those that differ in numbers only count as one."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._n_files: Counter[str] = Counter()

    def add(self, name: str, remarks: list[str]) -> None:
        """Note what was remarked on a file."""
        for remark in remarks:
            key = re.sub(r"\d+", "0", remark)
            self._first.setdefault(key, f"{name}: {remark}")
            self._n_files[key] += 1

    def sentences(self) -> list[str]:
        """The remark of the first file of each kind, and how many more files there are."""
        more = {key: n_files - 1 for key, n_files in self._n_files.items()}
        return [text + (f" (likewise {more[key]} more)" if more[key] else "") for key, text in self._first.items()]


def _refuse_packed(source: Source) -> None:
    with source.path.open("rb") as file:
        head = file.read(6)
    packing = next((name for mark, name in PACKED.items() if head.startswith(mark)), None)
    if packing is not None:
        raise UserError(f"{source.name} is packed with {packing} and no archive that is read; unpack it first")
