"""Readers of event cameras' files: every event comes back, wraps and overflows are followed, damage is said."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import true_formats
from true_formats import Events, joined, some_events

from neurochip.errors import UserError
from neurochip.readers import RawRecording, ReadOptions, read, sniff

WRITERS = {
    "nmnist-bin": true_formats.nmnist_bin,
    "aedat2": true_formats.aedat2,
    "prophesee-dat": true_formats.prophesee_dat,
    "aedat3": true_formats.aedat3,
    "aedat4": true_formats.aedat4,
}
WHOLE_PACKETS = {"aedat3": -39, "aedat4": -108}  # what to cut off such a format, so that it ends within an event


def written(folder: Path, data: bytes) -> Path:
    """A file whose name says nothing of its format."""
    path = folder / "data"
    path.write_bytes(data)
    return path


def assert_same(got: Events, expected: Events) -> None:
    for name in "xypt":
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


def recordings_of(path: Path, options: ReadOptions | None = None, notes: list[str] | None = None) -> list[RawRecording]:
    """The items of a file of events, which are recordings and nothing else."""
    items = list(read(path, options, notes))
    recordings = [item for item in items if isinstance(item, RawRecording)]
    assert len(recordings) == len(items)
    return recordings


@pytest.mark.parametrize("name", WRITERS)
def test_events_come_back_in_bounded_items_that_continue_one_sample(tmp_path: Path, name: str) -> None:
    events = some_events()
    if name == "aedat4":
        events = events._replace(t=events.t - events.t[0])
    path = written(tmp_path, WRITERS[name](events))
    items = recordings_of(path, ReadOptions(chunk_events=7))
    assert sniff(path).name == name
    assert_same(joined(items), events)
    assert all(len(item.t) <= 7 for item in items)
    assert [item.continues for item in items] == [False] + [True] * (len(items) - 1)


@pytest.mark.parametrize("name", WRITERS)
def test_a_cut_file_is_refused_and_with_notes_read_up_to_the_cut(tmp_path: Path, name: str) -> None:
    events = some_events()._replace(t=np.arange(40) * 100)
    path = written(tmp_path, WRITERS[name](events)[: WHOLE_PACKETS.get(name, -3)])
    options = ReadOptions(format=name)
    with pytest.raises(UserError, match=r"the file (ends|has)"):
        list(read(path, options))
    notes: list[str] = []
    got = joined(list(read(path, options, notes)))
    kept = len(got.t)
    assert kept == (32 if name in WHOLE_PACKETS else 39)  # whole packets of 16 events, or whole events
    assert_same(got, Events(*(column[:kept] for column in events)))
    assert len(notes) == 1 and str(path) in notes[0] and "left out" in notes[0]


@pytest.mark.parametrize("name", WRITERS)
def test_an_event_whose_time_falls_is_refused_or_sorted(tmp_path: Path, name: str) -> None:
    events = some_events()
    events.t[20] = events.t[0]
    path = written(tmp_path, WRITERS[name](events))
    format = ReadOptions(format=name)
    with pytest.raises(UserError, match="event 20: the time falls"):
        list(read(path, format))
    assert len(joined(list(read(path, format, []))).t) == 20
    order = np.argsort(events.t, kind="stable")
    got = joined(list(read(path, ReadOptions(format=name, sort=True, chunk_events=16))))
    first = events.t[0] if name == "aedat4" else 0
    assert_same(got, Events(events.x[order], events.y[order], events.p[order], events.t[order] - first))


@pytest.mark.parametrize("name", WRITERS)
def test_an_event_outside_the_sensor_is_refused(tmp_path: Path, name: str) -> None:
    events = some_events()
    events = events._replace(x=events.x % 20)
    events.x[11] = 30
    path = written(tmp_path, WRITERS[name](events))
    with pytest.raises(UserError, match="event 11: x = 30; allowed is 0 to 19"):
        list(read(path, ReadOptions(sensor_size=(20, 34, 2))))


def test_nmnist_overflow_adds_8192_us_to_itself_and_all_that_follow(tmp_path: Path) -> None:
    # Garrick Orchard's Read_Ndataset.m: events with y = 240 carry no pixel; times from each on grow by 2^13.
    stored = Events(np.array([1, 0, 2, 0, 3]), np.array([5, 240, 6, 240, 7]), np.array([1, 0, 0, 0, 1]), np.arange(5))
    path = written(tmp_path, true_formats.nmnist_bin(stored))
    for chunk in (1, 2, 5):
        got = joined(list(read(path, ReadOptions(chunk_events=chunk))))
        assert got.t.tolist() == [0, 2 + 8192, 4 + 16384]
        assert got.x.tolist() == [1, 2, 3]


def test_a_larger_frame_of_the_nmnist_format_asks_for_its_sensor_size(tmp_path: Path) -> None:
    events = some_events(side=170)
    path = written(tmp_path, true_formats.nmnist_bin(events))
    assert sniff(path).name == "nmnist-bin"
    with pytest.raises(UserError, match=r"allowed is 0 to 33 for sensor_size \(34, 34, 2\)"):
        list(read(path))
    assert_same(joined(list(read(path, ReadOptions(sensor_size=(240, 180, 2))))), events)


@pytest.mark.parametrize(
    "data", [b"some words here", bytes(range(250, 200, -1)), b"\1\2\3", b"\x21\x22\x00\x00\x05" * 3]
)
def test_bytes_that_do_not_fit_nmnist_are_of_no_format(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UserError, match="no known format"):
        sniff(written(tmp_path, data))


@pytest.mark.parametrize("name", ["aedat2", "prophesee-dat"])
def test_a_32_bit_clock_that_wraps_goes_on(tmp_path: Path, name: str) -> None:
    start = 2**32 - 150
    events = some_events(5)._replace(t=start + np.array([0, 100, 149, 150, 400]))
    path = written(tmp_path, WRITERS[name](events))
    for chunk in (1, 3, 5):
        assert_same(joined(list(read(path, ReadOptions(chunk_events=chunk)))), events)


def test_aedat2_layouts_follow_the_camera_in_the_header_or_the_argument(tmp_path: Path) -> None:
    # DAVIS: x from bit 12, y from bit 22, bit 11 = ON; bit 31 marks frames, bit 10 external signals.
    address = 100 << 22 | 200 << 12 | 1 << 11
    words = [address, 1 << 31 | 5 << 12, 3 << 22 | 4 << 12 | 1 << 10, 3 << 22 | 4 << 12]
    body = b"".join(struct.pack(">II", word, 10 + index) for index, word in enumerate(words))
    text = true_formats.AEDAT2_TEXT + b"# AEChip: eu.seebetter.ini.chips.davis.Davis346red\r\n"
    path = written(tmp_path, text + body)
    notes: list[str] = []
    (item,) = recordings_of(path, notes=notes)
    assert item.sensor_size == (346, 260, 2)
    got = joined([item])
    assert (got.x.tolist(), got.y.tolist(), got.p.tolist(), got.t.tolist()) == ([200, 4], [100, 3], [1, 0], [10, 13])
    assert "2 events that are no pixel events" in notes[0]
    (told,) = recordings_of(path, ReadOptions(address_layout="davis240"))
    assert told.sensor_size == (240, 180, 2)
    bare = written(tmp_path, true_formats.AEDAT2_TEXT + body)
    with pytest.raises(UserError, match=r"address 0x190c8800 is none of dvs128; address_layout must say"):
        list(read(bare))
    unknown = written(tmp_path, true_formats.AEDAT2_TEXT + b"# AEChip: org.someone.Cochlea\n" + body)
    with pytest.raises(UserError, match=r"recorded with .org.someone.Cochlea.; address_layout must say"):
        read(unknown)
    with pytest.raises(UserError, match="address_layout = 'dvs9' is unknown"):
        read(unknown, ReadOptions(address_layout="dvs9"))


def test_an_aedat2_event_that_begins_like_a_header_line_is_an_event(tmp_path: Path) -> None:
    # 0x23 is '#': a DAVIS address of row 140 begins with it.
    body = struct.pack(">II", 0x23 << 24 | 7 << 12, 5) * 2
    path = written(tmp_path, true_formats.AEDAT2_TEXT + body)
    got = joined(list(read(path, ReadOptions(address_layout="davis240"))))
    assert (got.x.tolist(), got.y.tolist()) == ([7, 7], [140, 140])


def test_dat_of_version_1_has_narrower_fields(tmp_path: Path) -> None:
    # load_atis_data.m: x in bits 0 to 8, y in 9 to 16, polarity in 17, if the version is below 2 or not said.
    events = some_events(side=200)
    for text in (b"% Data file\n% Version 1\n", b"% Data file\n"):
        path = written(tmp_path, true_formats.prophesee_dat(events, text, shifts=(9, 17)))
        (item,) = recordings_of(path)
        assert item.sensor_size is None
        assert_same(joined([item]), events)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"% Version 3\n\x00\x08", "version 3; read are versions 1 and 2"),
        (b"% Version two\n\x00\x08", "'two'; it must be an integer"),
        (b"% Version " + b"9" * 5000 + b"\n\x00\x08", "it must be an integer"),
        (b"% Width 640\n% Height 0\n\x00\x08", "from 1 to 32767"),
        (b"% Version 2\n\x0e\x08", "events of type 14 with 8 bytes"),
        (b"% Version 2\n\x0c", "before the type and size"),
        (b"no text", "lines that begin with %"),
    ],
)
def test_dat_headers_are_judged(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, data), ReadOptions(format="prophesee-dat"))


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_aedat4_of_each_compression_reads_the_event_stream_alone(tmp_path: Path, compression: int) -> None:
    start = 1_605_507_430_438_338  # the camera's clock is the calendar's
    events = some_events()
    path = written(tmp_path, true_formats.aedat4(events._replace(t=events.t + start), compression))
    items = recordings_of(path)
    assert items[0].sensor_size == (34, 34, 2)
    assert_same(joined(items), events._replace(t=events.t - events.t[0]))


def test_an_aedat4_file_that_was_not_closed_is_read_with_a_remark(tmp_path: Path) -> None:
    events = some_events()
    notes: list[str] = []
    got = joined(list(read(written(tmp_path, true_formats.aedat4(events, index=None)), notes=notes)))
    assert len(got.t) == 40 and "was not closed" in notes[0]


def test_aedat4_with_two_event_streams_asks_which(tmp_path: Path) -> None:
    streams = true_formats.STREAM.format(0, "EVTS") + true_formats.STREAM.format(5, "EVTS")
    streams += true_formats.STREAM.format(1, "IMUS")
    path = written(tmp_path, true_formats.aedat4(some_events(), streams=streams))
    with pytest.raises(UserError, match=r"stream must say which \(event streams: 0, 5\)"):
        read(path)
    assert len(joined(list(read(path, ReadOptions(stream=0)))).t) == 40
    assert len(joined(list(read(path, ReadOptions(stream=5)))).t) == 0
    with pytest.raises(UserError, match="stream = 3 is no event stream"):
        read(path, ReadOptions(stream=3))


def test_aedat4_packets_of_another_kind_than_their_streams_are_refused(tmp_path: Path) -> None:
    for kinds, message in (("TRIG", "kind 'IMUS' where stream 1 has 'TRIG'"), (None, "stream 1 is not among")):
        streams = true_formats.STREAM.format(0, "EVTS") + (true_formats.STREAM.format(1, kinds) if kinds else "")
        path = written(tmp_path, true_formats.aedat4(some_events(), streams=streams))
        with pytest.raises(UserError, match=message):
            list(read(path))
        assert len(joined(list(read(path, notes=[]))).t) == 16


def test_an_aedat4_vector_longer_than_its_packet_is_refused(tmp_path: Path) -> None:
    data = true_formats.aedat4(some_events())
    vector = data.index(b"EVTS", data.index(b"</dv>")) + 4 + 8 + 8  # identifier, vtable and table come first
    assert struct.unpack_from("<I", data, vector) == (16,)
    path = written(tmp_path, data[:vector] + struct.pack("<I", 17) + data[vector + 4 :])
    with pytest.raises(UserError, match=r"packet 0 at byte \d+: a vector of 17 entries"):
        list(read(path))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declaration"),
        ("<dv><node>", "damaged"),
        ("<dv/>", "event streams: none"),
        (true_formats.STREAMS.format(true_formats.STREAM.format("x", "EVTS")), "stream id in the header is 'x'"),
    ],
)
def test_aedat4_stream_lists_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xml: str, message: str
) -> None:
    monkeypatch.setattr(true_formats, "STREAMS", xml.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(UserError, match=message):
        read(written(tmp_path, true_formats.aedat4(some_events())))


def test_aedat4_packets_that_unpack_without_end_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(true_formats, "_event_table", lambda *_: bytes(2**27))
    for compression in (1, 3):
        path = written(tmp_path, true_formats.aedat4(some_events(), compression))
        assert path.stat().st_size < 2**22
        with pytest.raises(UserError, match=f"unpacks to more than {2**26} bytes"):
            list(read(path))


@pytest.mark.parametrize("name", ["nmnist-bin", "aedat2", "aedat3", "prophesee-dat", "event-array"])
def test_long_recordings_are_read_in_little_memory(tmp_path: Path, name: str) -> None:
    n_events, chunk = 2**20, 2**13
    if name == "event-array":
        t = np.arange(n_events, dtype=np.int64)
        np.save(tmp_path / "events.npy", np.stack([t, t % 5, t % 3, t % 2], axis=1))
        path = tmp_path / "events.npy"
    else:
        two = WRITERS[name](some_events(2))
        tail = {"nmnist-bin": 5}.get(name, 8)
        path = written(tmp_path, two[: -2 * tail] + two[-tail:] * n_events)
    if name == "aedat3":  # packets of 64 events, and one longer than an item
        event = struct.pack("<Ii", 3 << 17 | 1, 5)
        packet = true_formats.aedat3_packet
        many = packet(1, event * 64, 8) * (n_events // 128) + packet(1, event * (n_events // 2), 8)
        path.write_bytes(true_formats.aedat3_text() + many)
    tracemalloc.start()
    try:
        count = sum(
            item.n_events for item in read(path, ReadOptions(chunk_events=chunk)) if isinstance(item, RawRecording)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == n_events
    assert peak < 4_000_000 < path.stat().st_size


@pytest.mark.parametrize(("compression", "package"), [(1, "lz4"), (3, "zstandard")])
def test_a_missing_library_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: int, package: str
) -> None:
    path = written(tmp_path, true_formats.aedat4(some_events(), compression))
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UserError, match=rf"needs {package}: pip install 'neurochip\[aedat4\]'"):
        list(read(path))
