"""The plots of a sweep: which there are, what they say, and that they are the same bytes every time."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_points_fixture import ARITHMETIC, BITS, ROUNDING, grid_points, point, result_of, summarised
from sweep_request import files_of

from neurochip.report.sweep_heat import cells_of
from neurochip.report.sweep_plots import NAMES, Picture, sweep_pictures
from neurochip.report.sweep_series import is_geometric, legend_columns, numeric_key, series_of
from neurochip.sweep.page import write_page
from neurochip.sweep.point import Computed


def drawn(summary: dict[str, Any]) -> dict[str, Picture]:
    return {picture.name: picture for picture in sweep_pictures(summary)}


def words_of(picture: Picture) -> list[str]:
    """The texts of an SVG file, which a reader of XML must open."""
    root = ET.fromstring(picture.svg_file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_two_keys_have_curves_a_front_and_a_heat_map_that_open_by_themselves() -> None:
    from PIL import Image

    made = drawn(summarised(grid_points()))
    assert list(made) == ["accuracy", "pareto", "heatmap"]
    for picture in made.values():
        assert Image.open(io.BytesIO(picture.png)).size[0] > 700
        assert picture.svg_file.count(b"xmlns=") == 1
    words = words_of(made["accuracy"])
    assert {"floor", "nearest", "stochastic", "weight.bits", "accuracy on the test split (%)", "2", "5"} <= set(words)
    words = words_of(made["pareto"])
    assert "energy per learned sample (nJ)" in words
    assert any(word.startswith("best: bits 5, stochastic") for word in words)


def test_a_heat_map_has_every_mean_in_its_cell() -> None:
    summary = summarised(grid_points())
    down, across = summary["keys"]
    cells = cells_of(summary, down, across)
    assert [len(cells), len(cells[0])] == [4, 3]
    words = words_of(drawn(summary)["heatmap"])
    for setting in summary["settings"]:
        mean = 100 * sum(setting["test_by_seed"]) / 3
        row, column = setting["values"][BITS] - 2, ("floor", "nearest", "stochastic").index(setting["values"][ROUNDING])
        assert cells[row][column] == pytest.approx(mean)
        assert f"{mean:.1f}" in words


def test_of_three_keys_every_pair_has_a_heat_map_of_the_best_over_the_third() -> None:
    points = [
        replace(
            one,
            settings={**one.settings, "learning.rule": rule},
            computed=Computed({**one.computed.result, "rule": rule}),
        )
        for rule in ("ottt-o", "bptt-o")
        for one in grid_points((2, 3), (1,))
        if one.computed.result is not None
    ]
    best = points[0].computed.result
    assert best is not None
    best["accuracy"] = {"test": 0.777, "validation": 0.777, "train": 0.777}
    summary = summarised(points)
    made = drawn(summary)
    assert list(made) == ["accuracy", "pareto", "heatmap", "heatmap-2", "heatmap-3"]
    assert set(made) == set(NAMES)
    assert "Each cell: the best over rule." in made["heatmap"].caption
    assert "77.7" in words_of(made["heatmap"])
    assert cells_of(summary, summary["keys"][0], summary["keys"][1])[0][0] == pytest.approx(77.7)


def test_a_cross_of_points_has_no_heat_map() -> None:
    points = [point({BITS: bits, ROUNDING: "floor"}, result_of(0.5 + bits / 100, 1e5 + bits)) for bits in (2, 3, 4, 5)]
    points += [point({BITS: 2, ROUNDING: name}, result_of(0.6, 2e5)) for name in ("nearest", "stochastic", "even")]
    assert "heatmap" not in drawn(summarised(points, "one-at-a-time"))


def test_the_float_twin_is_a_dashed_line_across_the_curves() -> None:
    points = grid_points(seeds=(1,))
    points = [replace(one, settings={**one.settings, ARITHMETIC: "fixed"}) for one in points]
    plain = drawn(summarised(points))["accuracy"]
    twins = [
        replace(one, settings={**one.settings, ARITHMETIC: "float"}, computed=Computed(result_of(0.93, None)))
        for one in points
    ]
    summary = summarised([*points, *twins])
    picture = drawn(summary)["accuracy"]
    assert picture.svg.count("stroke-dasharray") > plain.svg.count("stroke-dasharray")
    assert words_of(picture).count("float twin") == 1
    assert "Dashed: float twin." in picture.caption and "Dashed" not in plain.caption
    assert "heatmap" in drawn(summary)
    assert summary["settings"][summary["best"]]["arithmetic"] == "fixed"


def test_float_twins_that_differ_have_a_line_each() -> None:
    points = []
    for n_bits in (4, 6):
        for rule, test in (("ottt-o", 0.9), ("bptt-o", 0.8)):
            settings = {BITS: n_bits, "learning.rule": rule}
            points.append(point({**settings, ARITHMETIC: "fixed"}, result_of(test - 0.1 + n_bits / 100, 1e5 + n_bits)))
            points.append(point({**settings, ARITHMETIC: "float"}, result_of(test, None)))
    words = words_of(drawn(summarised(points))["accuracy"])
    assert {"float twin, ottt-o", "float twin, bptt-o"} <= set(words)


def test_quantisers_of_the_twin_have_a_row_each() -> None:
    twin = {ARITHMETIC: "float", BITS: 8}
    points = [point({**twin, "precision.quantisers": []}, result_of(0.9, None))]
    points += [point({**twin, "precision.quantisers": [name]}, result_of(0.8, None)) for name in ("weight", "trace")]
    points.append(point({ARITHMETIC: "fixed", BITS: 8, "precision.quantisers": None}, result_of(0.7, 1e5)))
    made = drawn(summarised(points, "from-float"))
    assert list(made) == ["accuracy"]
    assert {"float twin", "weight", "trace", "fixed point"} <= set(words_of(made["accuracy"]))


@pytest.mark.parametrize("values", [["a", "b"], [True, False], [[1, 2], [3, 4]], [None, 4], [4]])
def test_without_several_numbers_there_is_a_row_per_setting(values: list[Any]) -> None:
    points = [point({BITS: value, "run.seed": 1}, result_of(0.9, 1e5)) for value in values]
    summary = summarised(points)
    assert numeric_key(summary) is None
    assert drawn(summary)["accuracy"].title == "Accuracy by setting"


def test_a_setting_that_failed_is_marked_and_said() -> None:
    points = grid_points(seeds=(1,))
    failed = replace(points[1], key=None, computed=Computed(error="no such format"))
    picture = drawn(summarised([points[0], failed, *points[2:]]))["accuracy"]
    assert "Crosses at the bottom: settings of which every seed failed (1)." in picture.caption
    assert "Crosses" not in drawn(summarised(points))["accuracy"].caption


def test_without_a_result_there_is_no_picture_and_without_energy_no_front() -> None:
    assert sweep_pictures(summarised([point({BITS: 99}, None, "no")])) == []
    floats = [point({BITS: bits, ARITHMETIC: "float"}, result_of(0.9, None)) for bits in (2, 3)]
    made = drawn(summarised(floats))
    assert list(made) == ["accuracy"]
    assert "float twin" in words_of(made["accuracy"]) and "Dashed" not in made["accuracy"].caption
    one = [point({BITS: 4, "run.seed": 1}, result_of(0.9, 1e5))]
    assert list(drawn(summarised(one))) == ["accuracy"]


def test_past_ten_lines_the_most_accurate_have_a_name() -> None:
    points = [
        point({BITS: bits, ROUNDING: f"r{n:02d}"}, result_of(0.3 + n / 100, 1e5 + n))
        for n in range(14)
        for bits in (2, 3)
    ]
    series = series_of(summarised(points), BITS)
    assert [one.label for one in series if one.is_named] == [f"r{n:02d}" for n in range(4, 14)]
    assert len({one.colour for one in series if one.is_named}) == 10
    assert "Grey: the 4 less accurate of 14 lines." in drawn(summarised(points))["accuracy"].caption


def test_an_axis_of_doublings_is_logarithmic_and_one_of_steps_is_not() -> None:
    assert is_geometric([1, 2, 4, 8]) and is_geometric([0.01, 0.1, 1.0])
    assert not is_geometric(range(2, 17)) and not is_geometric([2, 4]) and not is_geometric([0, 1, 10])


def test_a_legend_takes_as_many_columns_as_fit() -> None:
    assert legend_columns(["floor", "nearest", "stochastic", "front", "knee"]) == 5
    assert legend_columns(["trace.bits 2, ottt-o, stochastic"] * 4) == 2
    assert legend_columns(["nothing, stochastic"] * 6) == 2
    assert legend_columns(["x" * 60] * 3) == 1


def test_the_same_points_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_page(summarised(grid_points()), tmp_path / name)
    files = files_of(tmp_path / "one")
    assert files == files_of(tmp_path / "two")
    assert set(files) == {"sweep.html"} | {
        f"{name}.{ending}" for name in ("accuracy", "pareto", "heatmap") for ending in ("svg", "png")
    }
    assert not [name for name, content in files.items() if re.search(rb"20\d\d-\d\d-\d\d", content)]


def test_plots_of_an_earlier_sweep_are_removed_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.svg").write_text("mine")
    write_page(summarised(grid_points()), tmp_path)
    assert (tmp_path / "heatmap.png").exists()
    write_page(summarised([point({BITS: 4, "run.seed": 1}, result_of(0.9, 1e5))]), tmp_path)
    assert set(files_of(tmp_path)) == {"mine.svg", "sweep.html", "accuracy.svg", "accuracy.png"}
    write_page(None, tmp_path)
    assert set(files_of(tmp_path)) == {"mine.svg"}
