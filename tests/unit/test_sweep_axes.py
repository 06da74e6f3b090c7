"""What is swept: keys, values, ranges, and the points of the three designs that are fixed beforehand."""

from __future__ import annotations

import pytest
from tiny_experiment import tiny_experiment

from neurochip.errors import UserError
from neurochip.sweep.axes import SweepAxis, check_axis, parse_sweep, value_of, with_settings
from neurochip.sweep.design import grid, one_at_a_time, random_points, with_seeds
from neurochip.sweep.request import parse_request

BITS, TRACE = "precision.weight.bits", "precision.trace.bits"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=2:5", (2, 3, 4, 5)),
        ("a.b=2:9:3", (2, 5, 8)),
        ("a.b=2:8:3", (2, 5, 8)),
        ("a.b=-1:1", (-1, 0, 1)),
        ("a.b=16, 2:3", (16, 2, 3)),
        ("a.b=floor,nearest", ("floor", "nearest")),
        ("a.b=0.25,1e-3", (0.25, 1e-3)),
        ("a.b=true,false", (True, False)),
        ("a.b=1,true", (1, True)),
        ('a.b="x,y",z', ("x,y", "z")),
        ("a.b=[6, 7],[5, 6]", ([6, 7], [5, 6])),
        ("a.b=trace/local(2)/sample,ottt-o", ("trace/local(2)/sample", "ottt-o")),
    ],
)
def test_values_are_toml_words_and_ranges_with_both_ends(text: str, values: tuple[object, ...]) -> None:
    found = parse_sweep(text)
    assert (found.key, found.values) == ("a.b", values)
    assert [type(value) for value in found.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BITS, "--sweep 'precision.weight.bits' is not KEY=V1,V2,... or KEY=A:B"),
        (f"{BITS}=", "a value is missing"),
        (f"{BITS}=2,,3", "a value is missing"),
        (f"{BITS}=4,2:5", "the value 2:5 stands there twice"),
        (f"{BITS}=5:2", "5:2 is no range"),
        (f"{BITS}=2:5:0", "2:5:0 is no range"),
        ("precision=float", "--sweep precision: cannot be varied"),
        ("run.tune=true", "--sweep run.tune: cannot be varied"),
        ("run.rules=[]", "--sweep run.rules: cannot be varied"),
    ],
)
def test_what_is_no_axis_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=r".") as error:
        parse_sweep(text)
    assert sentence in str(error.value)


def test_settings_reach_tables_that_are_unset_and_entries_of_lists() -> None:
    base = tiny_experiment()
    changed = with_settings(base, {BITS: 5, "network.layers.1.neurons": 9, "precision.weight.frac": [1, 2, 3]})
    assert (changed.precision.weight.bits, changed.precision.weight.frac) == (5, [1, 2, 3])
    assert value_of(changed, "network.layers.1.neurons") == 9
    assert value_of(changed, "network.layers.0.neurons") == value_of(base, "network.layers.0.neurons") == 7
    assert value_of(base, "precision.weight.frac") is None
    assert base == tiny_experiment()


@pytest.mark.parametrize(
    ("axis", "sentence"),
    [
        (SweepAxis("precision.weight.bit", (4,)), "precision.weight.bit"),
        (SweepAxis(BITS, (40, 50)), "precision.weight.bits = 40"),
        (SweepAxis("network.layers.3.neurons", (4,)), "allowed are entries from 0 to 2"),
        (SweepAxis("precision.weight.bits.more", (4,)), "bits holds 8, not a table"),
    ],
)
def test_a_key_without_any_allowed_value_is_refused(axis: SweepAxis, sentence: str) -> None:
    with pytest.raises(UserError, match=r".") as error:
        check_axis(tiny_experiment(), axis)
    assert sentence in str(error.value)


def test_a_key_with_one_allowed_value_is_an_axis() -> None:
    check_axis(tiny_experiment(), SweepAxis(BITS, (40, 4)))


AXES = (SweepAxis(BITS, (4, 8)), SweepAxis(TRACE, (3, 5, 8)))


def test_the_grid_has_every_combination_and_the_last_key_varies_fastest() -> None:
    assert [tuple(point.values()) for point in grid(AXES)] == [(4, 3), (4, 5), (4, 8), (8, 3), (8, 5), (8, 8)]
    huge = [SweepAxis(f"a.k{index}", tuple(range(10))) for index in range(7)]
    with pytest.raises(UserError, match="the grid has 10,000,000 points"):
        grid(huge)


def test_one_at_a_time_begins_with_the_base_and_changes_one_key_of_it() -> None:
    points = one_at_a_time(AXES, tiny_experiment())
    assert [tuple(point.values()) for point in points] == [(8, 8), (4, 8), (8, 3), (8, 5)]


def test_random_points_are_different_and_follow_their_seed() -> None:
    points = random_points(AXES, 5, seed=1)
    assert points == random_points(AXES, 5, seed=1) != random_points(AXES, 5, seed=2)
    assert len({tuple(point.items()) for point in points}) == 5
    everything = random_points(AXES, 6, seed=1)
    assert sorted(map(repr, everything)) == sorted(map(repr, grid(AXES)))
    with pytest.raises(UserError, match=r"--points 7: is not allowed; the grid has 6 points"):
        random_points(AXES, 7, seed=1)


def test_every_point_has_every_seed() -> None:
    assert with_seeds([{BITS: 4}, {BITS: 8}], (1, 2)) == [
        {BITS: 4, "run.seed": 1}, {BITS: 4, "run.seed": 2}, {BITS: 8, "run.seed": 1}, {BITS: 8, "run.seed": 2},
    ]  # fmt: skip


def test_seeds_may_be_an_axis_or_an_option_but_not_both() -> None:
    assert parse_request([f"{BITS}=4", "run.seed=1:3"]) == parse_request([f"{BITS}=4"], seeds="1,2,3")
    assert parse_request(["run.seed=1:3"]).axes == ()


@pytest.mark.parametrize(
    ("sweeps", "options", "sentence"),
    [
        ([], {}, "--sweep is missing"),
        ([f"{BITS}=4", f"{BITS}=5"], {}, "is given twice"),
        ([f"{BITS}=4"], {"method": "all"}, "--method all: is not a method; allowed are grid, one-at-a-time, random"),
        ([f"{BITS}=4"], {"method": "random"}, "--method random was given without it"),
        ([f"{BITS}=4"], {"n_points": 3}, "--method grid was given with it"),
        (["run.seed=1"], {"seeds": "1"}, "the seeds are given with --sweep run.seed already"),
        ([f"{BITS}=4"], {"seeds": "a"}, "--seeds: 'a' is not allowed"),
        ([f"{BITS}=4"], {"seeds": "-1"}, "--seeds: -1 is not allowed"),
    ],
)
def test_requests_that_make_no_sense_are_refused(sweeps: list[str], options: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=r".") as error:
        parse_request(sweeps, **options)
    assert sentence in str(error.value)


def test_numbers_that_are_equal_are_one_value() -> None:
    with pytest.raises(UserError, match=r"learning.learning_rate: the value 1.0 stands there twice"):
        parse_sweep("learning.learning_rate=1,1.0")
    assert parse_sweep("a.b=1,true").values == (1, True)


def test_a_key_inside_another_one_is_refused() -> None:
    said = "network.layers.0.neurons: lies inside network.layers, which is swept as well"
    with pytest.raises(UserError, match=said):
        parse_request(["network.layers.0.neurons=8,12", "network.layers=[],[1]"])
    assert len(parse_request(["learning.batch=1", "learning.batches=2"]).axes) == 2


@pytest.mark.parametrize("points", [0, -3])
@pytest.mark.parametrize("method", ["random", "optuna"])
def test_at_least_one_point_is_drawn(method: str, points: int) -> None:
    with pytest.raises(UserError, match=rf"--points {points}: is not allowed; allowed are 1 or more"):
        parse_request(["learning.batch=1,2"], method=method, n_points=points)
