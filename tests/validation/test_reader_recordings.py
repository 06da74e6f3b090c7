"""The readers on real files under NEUROCHIP_DATA_DIR, against plain parsers written here and recorded figures.

The figures were taken once with independent readers, which agreed with ours event by event: tonic 1.7.0
(`tonic.io.read_mnist_file`) on the 21 N-MNIST files, expelliarmus 1.1.12 on the N-CARS file, aedat 2.3.0 on the
AEDAT 4 file. A digest is the SHA-256 of x, y (int32), p (uint8) and t (int64), little-endian, or of the hexadecimal
digests of several files in the order of their names.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from true_formats import Events, joined

from neurochip.readers import RawImage, RawRecording, ReadOptions, read, sniff

pytestmark = pytest.mark.recordings

NMNIST = ("f7971750ecf8ad95975cbf0ea02da62da0fd76efde3a5ecf23e8447582ebc467", 73_398)
POKER = ("78bc9da333b1e83d9d06eeafddb2001eeb628706719b141e03ffece5b3fe216f", 332_710)
NMNIST_SAMPLE = ("a6d2af15abf5c0770a6bd8126e2d922c2be2eca1d6a3c49aaa57173661dc2b59", 4325)
NCARS = ("3445540ca54d094921fe316c2e9d6da46e6f3f1d270eb7ca281f87d142e3743d", 2009)
DVXPLORER = ("f2aabf68b8aa26de13477ac23c138bedfc4e8742e6258742bb03cc3d423d0416", 111_954)


def data(relative: str) -> Path:
    """A file or folder below NEUROCHIP_DATA_DIR; the test is skipped if there is none."""
    folder = os.environ.get("NEUROCHIP_DATA_DIR")
    if not folder:
        pytest.skip(f"NEUROCHIP_DATA_DIR is not set, so there is no {relative}")
    if not (Path(folder) / relative).exists():
        pytest.skip(f"NEUROCHIP_DATA_DIR holds no {relative}")
    return Path(folder) / relative


def digest(events: Events) -> str:
    parts = zip(events, ("<i4", "<i4", "u1", "<i8"), strict=True)
    return hashlib.sha256(b"".join(column.astype(code).tobytes() for column, code in parts)).hexdigest()


def digest_of_all(recordings: list[Events]) -> tuple[str, int]:
    text = "".join(digest(events) for events in recordings)
    return hashlib.sha256(text.encode()).hexdigest(), sum(len(events.t) for events in recordings)


def plain(rows: Iterator[tuple[int, int, int, int]]) -> Events:
    return Events(*np.array(list(rows), np.int64).reshape(-1, 4).T)


def assert_same(got: Events, expected: Events) -> None:
    for name in "xypt":
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder


def test_nmnist_files_hold_the_recorded_events_and_those_of_a_plain_parser() -> None:
    paths = sorted(data("nmnist4/raw/NMNIST/Train").glob("*/*.bin"))
    recordings = [joined(list(read(path))) for path in paths]
    for path, events in zip(paths, recordings, strict=True):
        assert sniff(path).name == "nmnist-bin"
        bytes_ = path.read_bytes()
        fives = (bytes_[at : at + 5] for at in range(0, len(bytes_), 5))
        assert_same(events, plain((e[0], e[1], e[2] >> 7, (e[2] & 127) << 16 | e[3] << 8 | e[4]) for e in fives))
    assert digest_of_all(recordings) == NMNIST
    sample = joined(list(read(data("reference/tonic_samples/sample_nmnist.bin"))))
    assert (digest(sample), len(sample.t)) == NMNIST_SAMPLE


def test_nmnist_files_are_those_of_the_event_file_made_from_them(nmnist4_path: Path) -> None:
    by_length: dict[int, list[RawRecording]] = {}
    for item in read(nmnist4_path):
        assert isinstance(item, RawRecording) and item.sensor_size == (34, 34, 2) and not item.continues
        by_length.setdefault(item.n_events, []).append(item)
    assert sum(len(items) for items in by_length.values()) == 2600
    found = 0
    for path in sorted(data("nmnist4/raw/NMNIST/Train").glob("*/*.bin")):
        (raw,) = read(path)
        assert isinstance(raw, RawRecording)
        twins = [item for item in by_length.get(raw.n_events, []) if digest(joined([item])) == digest(joined([raw]))]
        found += len(twins)
        assert all(item.label == int(path.parent.name) for item in twins)
    assert found == 5  # the event file holds 2600 of about 23800 recordings, and 5 of these 20


def test_poker_aedat_files_hold_the_recorded_events_and_the_arrays_made_from_them(tmp_path: Path) -> None:
    folder = unpacked(data("pokerdvs/poker_dvs.tar.gz"), tmp_path / "aedat")
    recordings = [joined(list(read(path))) for path in sorted(folder.glob("*.aedat"))]
    assert len(recordings) == 131
    assert digest_of_all(recordings) == POKER
    body = (folder / "xclub01.aedat").read_bytes()[216:]
    rows = ((a >> 1 & 127, a >> 8 & 127, 1 - (a & 1), t) for a, t in struct.iter_unpack(">II", body))
    assert_same(recordings[0], plain(rows))
    # The published arrays are the same recordings with t from 0: columns, coordinates and polarity agree.
    known = {digest(events._replace(t=events.t - events.t[0])) for events in recordings}
    arrays = 0
    for split in ("train", "test"):
        for path in sorted(unpacked(data(f"pokerdvs/pips_{split}.tar.gz"), tmp_path).glob(f"pips_{split}/*/*.npy")):
            events = joined(list(read(path)))
            assert digest(events._replace(t=events.t - events.t[0])) in known
            assert_same(events, joined(list(read(path, ReadOptions(columns="txyp")))))
            arrays += 1
    assert arrays == 68


def test_the_ncars_file_holds_the_recorded_events() -> None:
    path = data("reference/tonic_samples/sample_ncars.dat")
    events = joined(list(read(path)))
    pairs = struct.iter_unpack("<II", path.read_bytes().split(b"\n", 3)[3][2:])
    assert_same(events, plain((w & 0x3FFF, w >> 14 & 0x3FFF, w >> 28, t) for t, w in pairs))
    assert (digest(events), len(events.t)) == NCARS


def test_the_aedat4_file_holds_the_recorded_events() -> None:
    import lz4.frame

    path = data("reference/tonic_samples/sample.aedat4")
    bytes_ = path.read_bytes()
    at, rows = 18 + struct.unpack_from("<i", bytes_, 14)[0], []
    # Packets end where the header's packet index begins: at byte 0x0e6c5b, its second field.
    end = 0x0E6C5B
    while at < end:
        stream, size = struct.unpack_from("<ii", bytes_, at)
        if stream == 0:
            table = lz4.frame.decompress(bytes_[at + 8 : at + 8 + size])[4:]
            root = struct.unpack_from("<I", table)[0]
            field = root + struct.unpack_from("<H", table, root - struct.unpack_from("<i", table, root)[0] + 4)[0]
            vector = field + struct.unpack_from("<I", table, field)[0]
            count = struct.unpack_from("<I", table, vector)[0]
            rows += struct.iter_unpack("<qhhBxxx", table[vector + 4 : vector + 4 + 16 * count])
        at += 8 + size
    items = list(read(path))
    events = joined(items)
    assert isinstance(items[0], RawRecording) and items[0].sensor_size == (320, 240, 2)
    assert_same(events, plain((x, y, p, t - rows[0][0]) for t, x, y, p in rows))
    assert (digest(events), len(events.t)) == DVXPLORER


def test_an_aedat2_header_of_a_davis_names_its_layout() -> None:
    (item,) = read(data("reference/tonic_samples/sample_aedat_header.aedat"))
    assert isinstance(item, RawRecording)
    assert (item.sensor_size, item.n_events) == ((346, 260, 2), 0)


@pytest.mark.parametrize(
    ("name", "split", "images_md5", "labels_md5", "n_images"),
    [
        ("train", "train", "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624", 60_000),
        ("t10k", "test", "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637", 10_000),
    ],
)
def test_mnist_images_and_labels_have_the_published_check_sums(
    name: str, split: str, images_md5: str, labels_md5: str, n_images: int
) -> None:
    path = data(f"mnist/{name}-images-idx3-ubyte.gz")
    pixels, labels = hashlib.md5(b"\0\0\x08\x03" + struct.pack(">III", n_images, 28, 28)), bytearray()
    for item in read(path):
        assert isinstance(item, RawImage) and item.split == split
        pixels.update(item.pixels.tobytes())
        labels.append(int(item.label or 0))
    assert pixels.hexdigest() == images_md5
    assert hashlib.md5(b"\0\0\x08\x01" + struct.pack(">I", n_images) + labels).hexdigest() == labels_md5
