"""The reader of AEDAT 3.1: times beyond 31 bits, sources, other types of events, and packets that cannot be right."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from true_formats import Events, aedat3, aedat3_packet, aedat3_text, joined, some_events

from neurochip.errors import UserError
from neurochip.readers import RawRecording, ReadOptions, read

PIXEL = struct.Struct("<Ii")
FIELDS = ("kind", "source", "event_bytes", "time_at", "overflow", "room", "number", "valid")
PACKET = struct.Struct("<hhiiiiii")


def pixel(x: int, y: int, p: int, t: int, valid: int = 1) -> bytes:
    return PIXEL.pack(x << 17 | y << 2 | p << 1 | valid, t)


def rows(path: Path, options: ReadOptions | None = None, notes: list[str] | None = None) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in joined(list(read(path, options, notes)))), strict=True))


def written(folder: Path, *packets: bytes, text: bytes | None = None) -> Path:
    path = folder / "data"
    path.write_bytes((aedat3_text() if text is None else text) + b"".join(packets))
    return path


def test_fields_have_fifteen_bits_and_one(tmp_path: Path) -> None:
    path = written(
        tmp_path, aedat3_packet(1, pixel(32766, 1, 0, 5) + pixel(1, 32766, 1, 6), 8), text=aedat3_text(0, "?")
    )
    assert rows(path) == [(32766, 1, 0, 5), (1, 32766, 1, 6)]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_overflow_counter_of_a_packet_goes_before_the_31_bits_of_a_time(tmp_path: Path, chunk: int) -> None:
    times = np.array([2**31 - 2, 2**31 - 1, 2**31, 2**31 + 1, 2**32 + 7, 5 * 2**31 + 3])
    events = some_events(6)._replace(t=times)
    got = joined(list(read(written(tmp_path, text=aedat3(events)), ReadOptions(chunk_events=chunk))))
    assert [column.tolist() for column in got] == [column.tolist() for column in events]


@pytest.mark.parametrize(
    ("device", "size"),
    [("DVS128", (128, 128, 2)), ("DAVIS240C", (240, 180, 2)), ("DAVIS346B", (346, 260, 2)), ("Network", None)],
)
def test_the_sensor_is_that_of_the_source(tmp_path: Path, device: str, size: tuple[int, int, int] | None) -> None:
    (item,) = read(written(tmp_path, aedat3_packet(1, pixel(1, 2, 1, 3), 8), text=aedat3_text(4, device)))
    assert isinstance(item, RawRecording)
    assert item.sensor_size == size


def test_a_pixel_outside_of_the_camera_is_refused_unless_the_sensor_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, aedat3_packet(1, pixel(128, 0, 1, 3), 8))
    with pytest.raises(UserError, match=r"event 0: x = 128; allowed is 0 to 127 for sensor_size \(128, 128, 2\)"):
        rows(path)
    assert rows(path, ReadOptions(sensor_size=(129, 1, 2))) == [(128, 0, 1, 3)]


def test_of_two_sources_one_has_to_be_chosen(tmp_path: Path) -> None:
    text = aedat3_text(1, "DVS128").replace(b"#-Source 0:", b"#Source 2:")
    packets = [aedat3_packet(1, pixel(source, 0, 1, 10 * source), 8, source=source) for source in (1, 2, 1)]
    path = written(tmp_path, *packets, text=text)
    with pytest.raises(UserError, match=r"packet 1 at byte .* source 2, those before are of source 1; stream must say"):
        rows(path)
    assert rows(path, ReadOptions(stream=2)) == [(2, 0, 1, 20)]
    (item,) = read(path, ReadOptions(stream=2))
    assert isinstance(item, RawRecording)
    assert item.sensor_size == (240, 180, 2)
    with pytest.raises(UserError, match=r"stream = 3 is no source of the file \(sources: 1, 2\)"):
        read(path, ReadOptions(stream=3))


def test_events_of_other_types_are_passed_over_and_invalid_ones_counted(tmp_path: Path) -> None:
    others = [
        aedat3_packet(kind, bytes(size) * 5, size) for kind, size in ((0, 8), (2, 500), (7, 10), (13, 1), (100, 3))
    ]
    body = pixel(1, 1, 1, 1) + pixel(2, 2, 1, 2, valid=0) + pixel(3, 3, 0, 3)
    notes: list[str] = []
    path = written(tmp_path, *others, aedat3_packet(1, body, 8), *others, aedat3_packet(1, b"", 8))
    assert rows(path, notes=notes) == [(1, 1, 1, 1), (3, 3, 0, 3)]
    assert len(notes) == 1
    assert "1 events that are marked invalid" in notes[0]


def test_a_file_without_events_is_one_empty_recording(tmp_path: Path) -> None:
    for packets in ((), (aedat3_packet(0, bytes(8), 8),), (aedat3_packet(1, b"", 8),)):
        (item,) = read(written(tmp_path, *packets))
        assert isinstance(item, RawRecording)
        assert item.n_events == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": 3, "room": 3}, r"declares 3 events of 8 bytes and the file has 16 bytes left"),
        ({"number": 2**31 - 1, "room": 2**31 - 1}, r"declares 2147483647 events"),
        ({"kind": 2, "event_bytes": 2**31 - 1}, r"declares 2 events of 2147483647 bytes"),
        ({"number": -1, "room": -1}, "none may be negative"),
        ({"kind": 0, "number": -4, "room": -4}, "none may be negative"),
        ({"kind": 0, "event_bytes": -8}, "none may be negative"),
        ({"kind": 0, "event_bytes": 0}, "2 events of 0 bytes"),
        ({"overflow": -1}, "none may be negative"),
        ({"valid": 3}, "3 valid"),
        ({"valid": -1}, "none may be negative"),
        ({"room": 4}, "in room for 4"),
        ({"event_bytes": 16}, "polarity events of 16 bytes with the time at 4; they have 8, at 4"),
        ({"time_at": 0}, "with the time at 0"),
        ({"kind": 14}, "event type 14; the format has 0 to 13 and 100 upwards"),
        ({"kind": -1}, "event type -1"),
    ],
)
def test_a_packet_that_cannot_be_right_ends_the_recording_after_those_before_it(
    tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    values = dict(zip(FIELDS, (1, 1, 8, 4, 0, 2, 2, 2), strict=True)) | changes
    bad = PACKET.pack(*(values[name] for name in FIELDS)) + pixel(5, 5, 1, 50) + pixel(6, 6, 1, 60)
    path = written(tmp_path, aedat3_packet(1, pixel(1, 1, 1, 1), 8), bad)
    with pytest.raises(UserError, match=rf"packet 1 at byte \d+: .*{message}"):
        rows(path)
    notes: list[str] = []
    assert rows(path, notes=notes) == [(1, 1, 1, 1)]
    assert len(notes) == 1
    assert "left out" in notes[0]


def test_a_negative_time_ends_the_recording_after_the_events_before_it(tmp_path: Path) -> None:
    path = written(tmp_path, aedat3_packet(1, pixel(1, 1, 1, 1) + pixel(2, 2, 0, -5) + pixel(3, 3, 0, 6), 8))
    with pytest.raises(UserError, match=r"packet 0 at byte .*: an event has the time -5; none may be negative"):
        rows(path)
    assert rows(path, notes=[]) == [(1, 1, 1, 1)]


def test_a_reset_of_the_clock_is_a_fall(tmp_path: Path) -> None:
    packets = [aedat3_packet(1, pixel(1, 1, 1, t), 8) for t in (10, 20, 0, 5)]
    path = written(tmp_path, *packets)
    with pytest.raises(UserError, match="event 2: the time falls from 20 to 0 us"):
        rows(path)
    assert [row[3] for row in rows(path, ReadOptions(sort=True))] == [0, 5, 10, 20]


def test_every_cut_is_seen_or_lies_between_packets(tmp_path: Path) -> None:
    events = some_events(20)
    data = aedat3(events, per_packet=8)
    whole, path = len(aedat3_text()), tmp_path / "data"
    borders = {whole}
    while max(borders) < len(data):
        at = max(borders)
        borders.add(at + 28 + struct.unpack_from("<i", data, at + 4)[0] * struct.unpack_from("<i", data, at + 20)[0])
    for end in range(whole, len(data)):
        path.write_bytes(data[:end])
        notes: list[str] = []
        got = Events(*joined(list(read(path, notes=notes))))
        assert got.t.tolist() == events.t[: len(got.t)].tolist()
        assert len(notes) == (0 if end in borders else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "without the line #!END-HEADER"),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\nno mark\r\n#!END-HEADER\r\n", "end at byte 28 without the line"),
        (b"#!AER-DAT3.1\r\n#" + b"a" * 70_000 + b"\r\n#!END-HEADER\r\n", "without the line"),
        (b"#!AER-DAT3.1\r\n" + b"# comment\r\n" * 100_000 + b"#!END-HEADER\r\n", "without the line"),
        (b"#!AER-DAT3.1\r\n#Format: SerializedTS\r\n#!END-HEADER\r\n", "format 'SerializedTS'; only RAW is read"),
        (b"#!AER-DAT3.10\r\n#!END-HEADER\r\n", r"does not begin with #!AER-DAT3\.1 and a line end"),
    ],
)
def test_text_headers_are_judged(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, text=text), ReadOptions(format="aedat3"))


def test_lines_may_end_without_a_carriage_return(tmp_path: Path) -> None:
    text = aedat3_text().replace(b"\r\n", b"\n")
    assert rows(written(tmp_path, aedat3_packet(1, pixel(1, 2, 1, 3), 8), text=text)) == [(1, 2, 1, 3)]
