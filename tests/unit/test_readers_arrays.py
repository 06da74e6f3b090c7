"""Event arrays of numpy: columns are told apart or asked for, units are exact, nothing is unpickled."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from true_formats import Events, joined, some_events

from neurochip.errors import UserError
from neurochip.readers import ReadOptions, read, sniff

EVENTS = some_events()


def saved(folder: Path, array: Any) -> Path:
    path = folder / "events"
    with path.open("wb") as file:
        np.save(file, array)
    return path


def archived(folder: Path, pack: bool = False, **arrays: Any) -> Path:
    path = folder / "events"
    with path.open("wb") as file:
        (np.savez_compressed if pack else np.savez)(file, **arrays)
    return path


def columns(order: str, events: Events = EVENTS, dtype: Any = np.int64) -> np.ndarray:
    return np.stack([getattr(events, letter) for letter in order], axis=1).astype(dtype)


def assert_same(got: Events, expected: Events = EVENTS) -> None:
    for name in "xypt":
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("fields", [("x", "y", "t", "p"), ("timestamp", "x", "y", "polarity"), ("on", "ts", "Y", "X")])
def test_named_fields_are_found_whatever_their_order(tmp_path: Path, fields: tuple[str, ...]) -> None:
    letters = {"timestamp": "t", "ts": "t", "polarity": "p", "on": "p"}
    records = np.zeros(40, [(name, "?" if name == "on" else np.int32) for name in fields])
    for name in fields:
        records[name] = getattr(EVENTS, letters.get(name, name.lower()))
    path = saved(tmp_path, records)
    assert sniff(path).name == "event-array"
    assert_same(joined(list(read(path, ReadOptions(chunk_events=9)))))


def test_records_without_row_or_polarity_are_of_row_and_polarity_0(tmp_path: Path) -> None:
    records = np.array([(5, 10), (6, 11)], [("x", "i2"), ("t", "i8")])
    notes: list[str] = []
    got = joined(list(read(saved(tmp_path, records), notes=notes)))
    assert [note.split(": ")[1] for note in notes] == [
        "there is no y among the fields; it was taken as 0",
        "there is no p among the fields; it was taken as 0",
    ]
    assert (got.x.tolist(), got.y.tolist(), got.p.tolist(), got.t.tolist()) == ([5, 6], [0, 0], [0, 0], [10, 11])


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt"])
@pytest.mark.parametrize("fortran", [False, True])
def test_the_order_of_four_columns_is_told_by_their_values(tmp_path: Path, order: str, fortran: bool) -> None:
    array = columns(order)
    path = saved(tmp_path, np.asfortranarray(array) if fortran else array)
    notes: list[str] = []
    assert_same(joined(list(read(path, ReadOptions(chunk_events=9), notes))))
    assert notes == [f"{path}: the four columns were taken as {', '.join(order)}; columns says otherwise"]


def test_an_order_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    ambiguous = np.array([[1, 1, 1, 0], [2, 2, 2, 1]])
    path = saved(tmp_path, ambiguous)
    with pytest.raises(UserError, match=r"columns must say .* \(txyp and xytp fit the values\)"):
        read(path)
    assert joined(list(read(path, ReadOptions(columns="ytxp")))).t.tolist() == [1, 2]
    with pytest.raises(UserError, match="none of txyp, xytp, xypt fits"):
        read(saved(tmp_path, columns("ptyx")))
    assert_same(joined(list(read(path, ReadOptions(columns="ptyx")))))
    with pytest.raises(UserError, match="columns = 'txy' must be the letters"):
        read(path, ReadOptions(columns="txy"))


def test_a_wrong_order_is_refused_by_the_values(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the time falls"):
        list(read(saved(tmp_path, columns("txyp")), ReadOptions(columns="xytp")))


@pytest.mark.parametrize("dtype", [np.uint64, np.int32, np.float64])
def test_polarities_minus_one_and_one_are_off_and_on(tmp_path: Path, dtype: Any) -> None:
    signed = EVENTS._replace(p=2 * EVENTS.p - 1)
    if dtype == np.uint64:
        signed = EVENTS
    unit = "us" if dtype == np.float64 else None
    path = saved(tmp_path, columns("txyp", signed, dtype))
    assert_same(joined(list(read(path, ReadOptions(columns="txyp", time_unit=unit, chunk_events=3)))))


def test_whole_times_whose_microseconds_overflow_are_refused(tmp_path: Path) -> None:
    for unit, last in (("s", 18446744073710), ("s", 2**47 // 10**6 + 1), ("ms", 2**47 // 1000 + 1), ("ms", 2**53)):
        array = np.array([(1, 0), (1, last), (1, last)], [("x", "i2"), ("t", "u8")])
        with pytest.raises(UserError, match=rf"event 1: t = {last} {unit} is out of range"):
            list(read(saved(tmp_path, array), ReadOptions(time_unit=unit)))
        array["t"][1:] = 2**47 // {"s": 10**6, "ms": 1000}[unit]
        got = joined(list(read(saved(tmp_path, array), ReadOptions(time_unit=unit))))
        assert got.t[2] == 2**47 // {"s": 10**6, "ms": 1000}[unit] * {"s": 10**6, "ms": 1000}[unit]


def test_a_polarity_of_2_is_named_for_what_it_is(tmp_path: Path) -> None:
    array = np.array([[0, 1, 1, 1], [1, 1, 1, 2], [2, 1, 1, 0]])
    for chunk in (1, 4):
        with pytest.raises(UserError, match=r"event 1: p = 2; allowed is 0 to 1"):
            list(read(saved(tmp_path, array), ReadOptions(columns="txyp", chunk_events=chunk)))


def test_polarities_that_mix_0_and_minus_1_are_refused(tmp_path: Path) -> None:
    array = np.array([[0, 1, 1, 1], [1, 1, 1, 0], [2, 1, 1, 1], [3, 1, 1, -1]])
    for chunk in (2, 4):
        with pytest.raises(UserError, match="event 3: polarity -1 after 0"):
            list(read(saved(tmp_path, array), ReadOptions(columns="txyp", chunk_events=chunk)))


@pytest.mark.parametrize(("unit", "factor"), [("s", 1_000_000), ("ms", 1000), ("us", 1)])
def test_whole_times_in_each_unit_are_exact(tmp_path: Path, unit: str, factor: int) -> None:
    path = saved(tmp_path, columns("txyp"))
    assert_same(
        joined(list(read(path, ReadOptions(columns="txyp", time_unit=unit)))), EVENTS._replace(t=EVENTS.t * factor)
    )


def test_nanoseconds_and_seconds_round_to_nearest_with_ties_to_even(tmp_path: Path) -> None:
    array = np.array([(0, 1499), (0, 1500), (0, 2500), (0, 2501)], [("x", "i2"), ("t", "i8")])
    options = ReadOptions(time_unit="ns")
    assert joined(list(read(saved(tmp_path, array), options))).t.tolist() == [1, 2, 2, 3]
    seconds = array.astype([("x", "i2"), ("t", "f8")])
    assert joined(list(read(saved(tmp_path, seconds), options))).t.tolist() == [1, 2, 2, 3]
    seconds["t"] = [0.0, 0.25, 1.0000004, 1.0000006]
    got = joined(list(read(saved(tmp_path, seconds), ReadOptions(time_unit="s"))))
    assert got.t.tolist() == [0, 250_000, 1_000_000, 1_000_001]


def test_real_times_without_a_unit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stored as float64, whose unit cannot be told; time_unit must say it"):
        list(read(saved(tmp_path, columns("txyp", dtype=np.float64))))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.nan, 1, 1, 0), "event 2: t = nan s is out of range"),
        ((2.0, 1.5, 1, 0), "event 2: x = 1.5; it must be an integer"),
        ((2.0, 1, np.inf, 0), "event 2: y = inf; it must be an integer"),
        ((2.0, 1, -3, 0), "event 2: y = -3; allowed is 0 to 32766"),
        ((2.0, 1, 1, 2), "event 2: p = 2; allowed is 0 to 1"),
        ((2e9, 1, 1, 0), "event 2: t = 2000000000000000 us; allowed"),
    ],
)
def test_a_bad_value_is_named_after_all_events_before_it(tmp_path: Path, row: tuple[float, ...], message: str) -> None:
    path = saved(tmp_path, np.array([(0, 1, 1, 0), (1, 1, 1, 1), row, (3, 1, 1, 1)], float))
    options = ReadOptions(columns="txyp", time_unit="s")
    with pytest.raises(UserError, match=message):
        list(read(path, options))
    assert joined(list(read(path, options, []))).t.tolist() == [0, 1_000_000]


def test_arrays_of_an_archive_are_columns_or_one_array(tmp_path: Path) -> None:
    separate = {"x": EVENTS.x, "y": EVENTS.y, "polarities": EVENTS.p, "timestamps": EVENTS.t, "other": np.zeros(3)}
    for pack in (False, True):
        path = archived(tmp_path, pack, **separate)
        assert sniff(path).name == "event-array"
        assert_same(joined(list(read(path, ReadOptions(chunk_events=9)))))
        for array in (columns("txyp"), np.asfortranarray(columns("txyp"))):
            assert_same(joined(list(read(archived(tmp_path, pack, events=array), ReadOptions(chunk_events=9)))))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3, int), "t": np.zeros(4, int)}, "different lengths: x 3, t 4"),
        ({"x": np.zeros(3, int), "y": np.zeros(3, int)}, "no x and t among the arrays of the archive: x, y"),
        ({"x": np.zeros(3, int), "unit": np.zeros(3, int), "t": np.zeros(3, int)}, "all stand for x"),
        ({"x": np.zeros(3, int), "t": np.zeros(3, int), "z": np.zeros(3)}, "no y and p among .* and unknown z"),
        ({"x": np.zeros((3, 2), int), "t": np.zeros(3, int)}, r"the array for x has shape \[3, 2\]"),
        ({"x": np.array([None]), "t": np.zeros(1, int)}, "holds object"),
        ({"a": np.zeros((3, 5), int)}, r"shape \[3, 5\]; events are an array of records"),
    ],
)
def test_archives_without_events_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(archived(tmp_path, **arrays))


def test_a_file_of_two_arrays_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, columns("txyp"))
    data = path.read_bytes()
    for more in (data, b"x"):
        path.write_bytes(data + more)
        with pytest.raises(UserError, match=rf"events: {len(more)} bytes follow the array; a file holds one array"):
            read(path, ReadOptions(columns="txyp"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_an_array_twice_or_less_is_refused(tmp_path: Path) -> None:
    path = archived(tmp_path, x=EVENTS.x, t=EVENTS.t, y=EVENTS.y, p=EVENTS.p)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\5\6") + 10] = 5
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged archive \(its directory holds 4 members and its end says 5\)"):
        read(path)
    path = archived(tmp_path, x=EVENTS.x, t=EVENTS.t)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x.npy", archive.read("t.npy"))
    with pytest.raises(UserError, match=r"events: the archive holds x\.npy twice"):
        read(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = np.array([Trap()], dtype=object)
    for path in (saved(tmp_path, trap), archived(tmp_path, a=trap)):
        with pytest.raises(UserError, match="it must hold integers, booleans or floats"):
            read(path)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_member_is_refused_before_its_first_event(tmp_path: Path) -> None:
    # Large enough to be read in several pieces: its check sum is only known at the end.
    path = archived(tmp_path, events=columns("txyp", some_events(2000)))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.infolist()[0].header_offset + 60_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged archive"):
        read(path, ReadOptions(columns="txyp", chunk_events=16))
