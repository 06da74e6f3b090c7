"""Readers on damaged files: an error in one sentence or what the bytes really say, in little memory and time.

`N_CASES` says how many damaged files each format gets. What must come out of one:

* cut short: the beginning of what the whole file gives, and an error or a note wherever the format knows its length;
* bytes of the events changed, in a format without check sums: what a plain parser finds in the changed bytes, up to
  the first event that may not be;
* anything changed, in a format with check sums: the undamaged content or a beginning of it;
* anything else (a changed header can make another valid file): arrays of the promised type, order and range.
"""

from __future__ import annotations

import io
import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import true_formats
from forked_hdf5 import Forked
from PIL import Image
from true_formats import joined, some_events

from neurochip.errors import UserError
from neurochip.events import Recordings, write_recordings
from neurochip.readers import FORMATS, RawImage, RawItem, RawRecording, ReadOptions, hdf5, read

EVENTS = some_events()._replace(t=np.sort(np.random.default_rng(2).integers(0, 5000, 40)))
ZERO_BASED = EVENTS._replace(t=EVENTS.t - EVENTS.t[0])
PIXELS = np.random.default_rng(1).integers(0, 256, (6, 5, 7), np.uint8)
LABELS = np.arange(6, dtype=np.uint8)
MAX_BYTES = 2**24
MAX_SECONDS = 5.0
N_CASES = {
    "nmnist-bin": 1000, "aedat2": 1000, "prophesee-dat": 1000, "aedat3": 1000, "aedat4": 1100, "aedat4-lz4": 800,
    "aedat4-zstd": 800, "npy": 1000, "npy-records": 600, "npz": 400, "npz-packed": 400, "idx": 800, "idx-gz": 500,
    "png": 400, "jpeg": 200, "bmp": 200, "ppm": 200, "wav": 900, "shd-h5": 200, "events-h5": 100,
}  # fmt: skip

Plain = Callable[[bytes], Iterator[tuple[int, ...]]]


@dataclass(frozen=True)
class Target:
    """A whole file of one format, how it is read, and what is known of it when it is damaged.

    body: bytes before it are header; plain: yields x, y, p, t of the bytes after it; check_sums: no change may pass
    unseen; own_length: a cut may not pass unseen.
    """

    data: bytes
    options: ReadOptions
    body: int = 0
    plain: Plain | None = None
    check_sums: bool = False
    own_length: bool = True


def plain_nmnist(body: bytes) -> Iterator[tuple[int, ...]]:
    overflows = 0
    for at in range(0, len(body) - 4, 5):
        x, y, a, b, c = body[at : at + 5]
        overflows += y == 240
        if y != 240:
            yield x, y, a >> 7, ((a & 127) << 16) + (b << 8) + c + 8192 * overflows


def stepped(counters: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Follow a 32-bit clock: a step is the smaller way round."""
    now = None
    for word, counter in counters:
        now = counter if now is None else now + ((counter - now + 2**31) % 2**32) - 2**31
        yield word, now


def plain_aedat2(body: bytes) -> Iterator[tuple[int, ...]]:
    for address, t in stepped(struct.iter_unpack(">II", body[: len(body) // 8 * 8])):
        if address >= 2**16:
            yield -1, 0, 0, t
        elif address < 2**15:
            yield address >> 1 & 127, address >> 8, 1 - (address & 1), t


def plain_aedat3(body: bytes) -> Iterator[tuple[int, ...]]:
    at, sources = 0, set()
    while at < len(body):
        head = struct.unpack_from("<hhiiiiii", body, at) if at + 28 <= len(body) else (-1,) * 8
        kind, source, size, time_at, overflow, room, number, valid = head
        at += 28
        sources |= {source} if kind == 1 else set()
        known = (
            size == 8 and time_at == 4 and len(sources) == 1
            if kind == 1
            else size > 0 and (0 <= kind <= 13 or kind >= 100)
        )
        if not known or not 0 <= valid <= number == room or overflow < 0 or at + number * size > len(body):
            yield -1, 0, 0, 0
        for word, t in struct.iter_unpack("<Ii", body[at : at + number * 8] if kind == 1 else b""):
            if t < 0:
                yield -1, 0, 0, 0
            if word & 1:
                yield word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1, (overflow << 31) + t
        at += number * size


def plain_dat(body: bytes) -> Iterator[tuple[int, ...]]:
    pairs = ((word, t) for t, word in struct.iter_unpack("<II", body[: len(body) // 8 * 8]))
    for word, t in stepped(pairs):
        yield word & 0x3FFF, word >> 14 & 0x3FFF, word >> 28, t


def plain_npy(body: bytes) -> Iterator[tuple[int, ...]]:
    for t, x, y, p in struct.iter_unpack("<qqqq", body[: len(body) // 32 * 32]):
        yield x, y, p, t


def good_events(rows: Iterator[tuple[int, ...]], size: tuple[int, int, int]) -> tuple[list[tuple[int, ...]], bool]:
    """Return the rows before the first that leaves the sensor or the order of time, and whether there is none."""
    good: list[tuple[int, ...]] = []
    for x, y, p, t in rows:
        fits = all(0 <= value < high for value, high in zip((x, y, p), size, strict=True)) and abs(t) <= 2**47
        if not fits or (good and t < good[-1][3]):
            return good, False
        good.append((x, y, p, t))
    return good, True


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(save: Any) -> bytes:
    file = io.BytesIO()
    save(file, x=EVENTS.x, y=EVENTS.y, p=EVENTS.p, t=EVENTS.t)
    return file.getvalue()


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(file, kind)
    return file.getvalue()


def target(name: str, folder: Path) -> Target:
    size = (34, 34, 2)
    plain = {"nmnist-bin": plain_nmnist, "aedat2": plain_aedat2, "prophesee-dat": plain_dat}
    if name in plain:
        writer = {"nmnist-bin": true_formats.nmnist_bin, "aedat2": true_formats.aedat2}
        data = writer.get(name, true_formats.prophesee_dat)(EVENTS)
        body = {"nmnist-bin": 0, "aedat2": len(true_formats.AEDAT2_TEXT)}.get(name, len(true_formats.DAT_TEXT) + 2)
        return Target(data, ReadOptions(name, size, chunk_events=16), body, plain[name], own_length=False)
    if name == "aedat3":
        body = len(true_formats.aedat3_text())
        options = ReadOptions(name, size, chunk_events=16)
        return Target(true_formats.aedat3(EVENTS), options, body, plain_aedat3, own_length=False)
    if name.startswith("aedat4"):
        compression = {"aedat4": 0, "aedat4-lz4": 1, "aedat4-zstd": 3}[name]
        return Target(true_formats.aedat4(ZERO_BASED, compression), ReadOptions("aedat4", chunk_events=10))
    array = ReadOptions("event-array", size, chunk_events=16)
    if name == "npy":
        data = npy(np.stack([EVENTS.t, EVENTS.x, EVENTS.y, EVENTS.p], axis=1))
        return Target(data, replace(array, columns="txyp"), 128, plain_npy)
    if name == "npy-records":
        return Target(npy(np.rec.fromarrays(EVENTS, names="x,y,p,t")), array)
    if name.startswith("npz"):
        return Target(npz(np.savez if name == "npz" else np.savez_compressed), array, check_sums=True)
    if name.startswith("idx"):
        (folder / "labels").write_bytes(true_formats.idx_labels(LABELS))
        packed = name == "idx-gz"
        options = ReadOptions("mnist-idx", labels_path=folder / "labels")
        return Target(true_formats.idx_images(PIXELS, packed), options, check_sums=packed)
    if name == "wav":
        return Target(true_formats.wav(EVENTS.t.astype("<i2").tobytes(), 1, 16), ReadOptions("wav"))
    if name.endswith("-h5"):
        if name == "shd-h5":
            true_formats.write_shd(
                folder / "whole", [([0.1, 0.2], [1, 699]), ([], []), ([0.5] * 30, [3] * 30)], [0, 1, 2]
            )
        else:
            recordings = Recordings(*EVENTS, np.array([0, 15, 15, 40]), np.array([7, 8, 9]), size)
            write_recordings(folder / "whole", {"train": recordings, "test": recordings})
        return Target((folder / "whole").read_bytes(), ReadOptions(name))
    return Target(image(name.upper()), ReadOptions("image"), check_sums=name == "png")


def damaged(data: bytes, random_: random.Random, body: int) -> tuple[bytes, str]:
    """Return changed bytes and what was done: "cut", "body" (substitutions after the header) or "any"."""
    kind = random_.choice(["cut", "body", "body", "any", "any", "huge", "moved"])
    if kind == "cut":
        return data[: random_.randrange(len(data))], kind
    changed = bytearray(data)
    low = body if kind == "body" else 0
    for _ in range(random_.choice([1, 1, 1, 2, 5])):
        at = random_.randrange(low, len(data))
        changed[at] = random_.choice([changed[at] ^ 1 << random_.randrange(8), 0, 255, random_.randrange(256)])
    if kind == "huge":
        at = random_.randrange(len(data))
        changed[at : at + 4] = random_.choice(
            [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x40", b"\x7f\xff\xff\xff"]
        )
    if kind == "moved":
        at, length = random_.randrange(len(data)), random_.randrange(1, 9)
        changed[at:at] = changed[at : at + length]
        if random_.random() < 0.5:
            del changed[at : at + 2 * length]
    return bytes(changed), kind if kind == "body" else "any"


def outcome(path: Path, options: ReadOptions) -> tuple[list[RawItem], list[str], bool]:
    """Return items, notes and whether the file was refused at once; anything but a sentence or a result fails."""
    notes: list[str] = []
    items: list[RawItem] = []
    tracemalloc.reset_peak()
    before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
    refused = False
    try:
        items.extend(read(path, options, notes))
    except UserError as error:
        notes.append(str(error))
        refused = True
    assert tracemalloc.get_traced_memory()[1] - before < MAX_BYTES
    assert time.perf_counter() - start < MAX_SECONDS
    assert all(note.startswith(f"{path}: ") and "\n" not in note and len(note) < 1000 for note in notes), notes
    return items, notes, refused


def assert_valid(items: list[RawItem]) -> None:
    """Arrays are of the promised type, order and range."""
    last = None
    for item in items:
        if isinstance(item, RawRecording):
            assert [column.dtype.str for column in (item.x, item.y, item.p, item.t)] == ["<i4", "<i4", "|u1", "<i8"]
            width, height, polarities = item.sensor_size or (32767, 32767, 2)
            for column, high in ((item.x, width), (item.y, height), (item.p, polarities)):
                assert ((column >= 0) & (column < high)).all()
            times = np.concatenate([[last], item.t]) if item.continues and last is not None else item.t
            assert (np.diff(times.astype(np.int64)) >= 0).all() and (np.abs(item.t) <= 2**47).all()
            last = item.t[-1] if len(item.t) else last
        elif isinstance(item, RawImage):
            assert item.pixels.dtype == np.uint8 and item.pixels.ndim in (2, 3)
        else:
            assert item.samples.dtype == np.int32 and item.rate_hz >= 1


def content(items: list[RawItem]) -> list[Any]:
    """Everything the items say, as a list in which a beginning of the items is a beginning of the list."""
    values: list[Any] = []
    for item in items:
        if isinstance(item, RawRecording):
            values += [("sample", item.label)] * (not item.continues)
            values += zip(*(column.tolist() for column in (item.x, item.y, item.p, item.t)), strict=True)
        elif isinstance(item, RawImage):
            values.append((item.label, item.pixels.shape, item.pixels.tobytes()))
        else:
            values += item.samples.tolist()
    return values


def check(name: str, whole: Target, undamaged: list[Any], data: bytes, kind: str, path: Path) -> None:
    path.write_bytes(data)
    items, notes, refused = outcome(path, whole.options)
    assert_valid(items)
    got = content(items)
    assert not (refused and items)
    if kind == "cut" and not name.endswith("-h5"):
        assert got == undamaged[: len(got)] or not got[1:]
        if len(got) < len(undamaged) and whole.own_length:
            assert notes
    if kind == "body" and whole.plain is not None and whole.options.sensor_size:
        rows, complete = good_events(whole.plain(data[whole.body :]), whole.options.sensor_size)
        assert [row for row in got if row[0] != "sample"] == rows
        assert bool([note for note in notes if "no pixel events" not in note]) == (not complete)
    if whole.check_sums:
        assert got == undamaged or (refused and not got)


@pytest.mark.parametrize("name", N_CASES)
def test_damaged_files_give_an_error_or_what_they_say(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith("-h5"):
        if not hasattr(os, "fork"):
            pytest.skip("this system has no fork, and a fresh process for each damaged HDF5 file takes too long")
        monkeypatch.setattr(hdf5, "start_child", Forked)
        monkeypatch.setattr(hdf5, "SILENCE_SECONDS", 1.5)
    whole, path = target(name, tmp_path), tmp_path / "damaged"
    path.write_bytes(whole.data)
    undamaged = content(list(read(path, whole.options)))
    assert len(undamaged) >= 1
    random_ = random.Random(f"damage of {name}")
    tracemalloc.start()
    try:
        check(name, whole, undamaged, b"", "cut", path)
        for _ in range(N_CASES[name] - 1):
            check(name, whole, undamaged, *damaged(whole.data, random_, whole.body), path)
    finally:
        tracemalloc.stop()


def test_there_are_ten_thousand_cases_and_every_format_has_some() -> None:
    assert sum(N_CASES.values()) >= 10_000
    folder_formats = {"npy": "event-array", "idx": "mnist-idx", "png": "image"}
    assert {folder_formats.get(name, name) for name in N_CASES} >= set(FORMATS) - {"mnist-idx-labels"}


@pytest.mark.parametrize("name", [name for name in N_CASES if not name.endswith("-h5")])
def test_a_file_of_one_format_read_as_another_is_refused_or_valid(tmp_path: Path, name: str) -> None:
    whole, path = target(name, tmp_path), tmp_path / "data"
    path.write_bytes(whole.data)
    tracemalloc.start()
    try:
        for format in set(FORMATS) - {"shd-h5", "events-h5"}:
            items, _notes, _refused = outcome(path, ReadOptions(format))
            assert_valid(items)
    finally:
        tracemalloc.stop()


def test_a_cut_aedat4_packet_costs_no_event_before_it(tmp_path: Path) -> None:
    data = true_formats.aedat4(ZERO_BASED)
    starts = [at for at in range(len(data)) if data.startswith(b"EVTS", at)][1:]
    path = tmp_path / "data"
    for number, start in enumerate(starts):
        path.write_bytes(data[: start + 30])
        items, notes, _ = outcome(path, ReadOptions())
        assert joined(items).t.tolist() == ZERO_BASED.t[: 16 * number].tolist() and len(notes) == 1
