"""Which format a file has, found by its content, and one way to read them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.events import check_sensor_size
from neurochip.readers import (
    aedat2,
    aedat3,
    aedat4,
    event_arrays,
    hdf5,
    image,
    mnist_idx,
    nmnist_bin,
    prophesee_dat,
    wav,
)
from neurochip.readers.recording import RawItem, ReadOptions
from neurochip.readers.source import Probe, probe

MAX_CHUNK_EVENTS = 2**24
KNOWN_BUT_UNREAD = {
    b"#!AER-DAT1": "AEDAT 1, which has no camera in its header; write it as AEDAT 2 with jAER",
    b"#!AER-DAT3": "AEDAT 3, but not 3.1 (3.0 counts rows from below); convert it to AEDAT 4 with DV",
    b"MATLAB 5.0": "a MATLAB file; save its events as .npy",
    b"PK\x03\x04": "a zip archive without numpy arrays; unpack it",
    b"\x1f\x8b": "a gzip file that holds no MNIST; unpack it with gunzip, or name it .tar.gz if it is one",
    b"BZh": "a bzip2 file; unpack it with bunzip2, or name it .tar.bz2 if it is one",
    b"\xfd7zXZ\0": "an xz file; unpack it with unxz, or name it .tar.xz if it is one",
    b"\x28\xb5\x2f\xfd": "a Zstandard file; unpack it with unzstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
}


@dataclass(frozen=True)
class Format:
    """One format: its name, what it is, what its items are, and how it is recognised and read.

    kind: "events", "images", "sounds", or "labels" for a file that belongs to another and holds no items.
    """

    name: str
    title: str
    kind: str
    uses: frozenset[str]
    matches: Callable[[Probe], bool]
    open_items: Callable[[Path, ReadOptions, list[str]], Iterator[RawItem]]


def _format(
    name: str, title: str, kind: str, module: Any, matches: str = "matches", opens: str = "open_items"
) -> Format:
    return Format(name, title, kind, module.USES, getattr(module, matches), getattr(module, opens))


_ALL = (
    _format("aedat2", "AEDAT 2.0 (jAER)", "events", aedat2),
    _format("aedat3", "AEDAT 3.1 (cAER)", "events", aedat3),
    _format("aedat4", "AEDAT 4.0 (DV)", "events", aedat4),
    _format("prophesee-dat", "Prophesee and ATIS .dat", "events", prophesee_dat),
    _format("event-array", "numpy event arrays", "events", event_arrays),
    _format("shd-h5", "HDF5 in the layout of SHD and SSC", "events", hdf5, "matches_shd", "open_shd"),
    _format("events-h5", "HDF5 event file", "events", hdf5, "matches_events", "open_events"),
    _format("mnist-idx", "MNIST IDX images", "images", mnist_idx),
    _format("mnist-idx-labels", "MNIST IDX labels", "labels", mnist_idx, "matches_labels", "open_labels"),
    _format("image", "PNG, JPEG, BMP or PGM/PPM image", "images", image),
    _format("wav", "RIFF/WAVE sound", "sounds", wav),
    # It has no mark of its own, so it comes last: only what nothing else claims is asked.
    _format("nmnist-bin", "N-MNIST and N-Caltech101 .bin", "events", nmnist_bin),
)
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}


def sniff(path: str | Path) -> Format:
    """Return the format of a file, found by its content; raises UserError if it is none of FORMATS."""
    try:
        return _sniffed(Path(path))
    except (UserError, OSError) as error:
        raise _named(path, error) from None


def read(
    path: str | Path,
    options: ReadOptions | None = None,
    notes: list[str] | None = None,
    remarks: list[str] | None = None,
) -> Iterator[RawItem]:
    """Return the items of a file, one at a time.

    What is wrong with the file's head is raised at once, damage further on when it is reached, after everything
    before it. With a list of `notes`, damage ends the items instead and is noted there, as are harmless remarks. A list
    of `remarks` gets the harmless ones, without the file's name, once all items were taken.
    Raises UserError, naming the file, what is wrong and what is allowed.
    """
    place, chosen = Path(path), options or ReadOptions()
    remarks = [] if remarks is None else remarks
    try:
        found = _found(place, chosen)
        _check_options(found, chosen)
        items = found.open_items(place, chosen, remarks)
    except (UserError, OSError, MemoryError) as error:
        raise _named(path, error) from None
    return _delivered(place, items, remarks, notes)


def _delivered(path: Path, items: Iterator[RawItem], remarks: list[str], notes: list[str] | None) -> Iterator[RawItem]:
    try:
        yield from items
    except (UserError, OSError, MemoryError) as error:
        if notes is None:
            raise _named(path, error) from None
        remarks.append(f"{error or type(error).__name__}; everything from there on was left out")
    if notes is not None:
        notes.extend(f"{path}: {remark}" for remark in remarks)


def _found(path: Path, options: ReadOptions) -> Format:
    if options.format is None:
        return _sniffed(path)
    if options.format not in FORMATS:
        raise UserError(f"format = {options.format!r} is unknown; known are {', '.join(FORMATS)}")
    probe(path)
    return FORMATS[options.format]


def _sniffed(path: Path) -> Format:
    beginning = probe(path)
    if beginning.head.startswith(hdf5.MAGIC):
        name = hdf5.layout(path)
        if not name:
            raise UserError("an HDF5 file with neither splits of events (docs/event-format.md) nor spikes as in SHD")
        return FORMATS[name]
    for format in _ALL[:-1]:
        if format.matches(beginning):
            return format
    known = _known_but_unread(beginning)
    if known is not None:
        raise UserError(f"this is {known}")
    if _ALL[-1].matches(beginning):
        return _ALL[-1]
    raise UserError(f"the content is of no known format; known are {', '.join(FORMATS)}")


def _known_but_unread(beginning: Probe) -> str | None:
    """Return what a file is and what to do with it, if it is of a kind that is known and not read."""
    head = beginning.head
    if prophesee_dat.matches_raw(beginning):
        return "Prophesee RAW; convert it to .dat with Metavision"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, or name it .tar"
    if not any(head):
        return f"a file of zeros, at least its first {len(head)} bytes, as a failed download leaves; fetch it again"
    return next((what for magic, what in KNOWN_BUT_UNREAD.items() if head.startswith(magic)), None)


def _check_options(format: Format, options: ReadOptions) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name not in (*format.uses, "format", "chunk_events") and value != field.default:
            users = ", ".join(other.name for other in _ALL if field.name in other.uses)
            raise UserError(f"{field.name} = {value!r} does not apply to {format.name}; it does to {users}")
    if not 1 <= options.chunk_events <= MAX_CHUNK_EVENTS:
        raise UserError(f"chunk_events = {options.chunk_events} must be 1 to {MAX_CHUNK_EVENTS}")
    if options.sensor_size is not None:
        check_sensor_size(options.sensor_size)


def _named(path: str | Path, error: Exception) -> UserError:
    if isinstance(error, OSError):
        return UserError(f"{path}: cannot be read ({error.strerror or error})")
    return UserError(f"{path}: {error or 'needs more memory than there is'}")
