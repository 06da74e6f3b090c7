"""Do the words and pictures of the section `sensitivity` say what is in it?"""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
import synthetic_rules as made

from neurochip.knobs import Knob
from neurochip.report.sensitivity_lines import order_sentences, sensitivity_lines, short_lines
from neurochip.report.tornado import tornado_plots
from neurochip.sensitivity import sensitivity
from neurochip.sensitivity_text import flips_sentence, knob_sentence, steps_sentence


@functools.cache
def section() -> dict[str, Any]:
    return sensitivity([made.priced(name, n_samples=3) for name in ("ottt-o", "bptt-o", "sltt-o")])


def test_one_paragraph_per_pair_names_ratio_widest_knobs_and_flips() -> None:
    lines = sensitivity_lines(section())
    assert len(lines) == len(section()["pairs"]) + len(section()["iso_sram"])
    for line, pair in zip(lines, section()["pairs"], strict=False):
        assert line.startswith(f"Energy of {pair['rule']} over {pair['baseline']}: ")
        for bar in pair["tornado"][:3]:
            assert bar["label"] in line
        assert pair["tornado"][4]["label"] not in line.partition("(")[2].partition(")")[0]
        assert all(sentence in line for sentence in pair["sentences"])
    assert sensitivity_lines(None) == []
    assert tornado_plots(None) == []


def test_a_picture_per_pair_shows_every_bar_that_moves() -> None:
    plots = tornado_plots(section())
    assert [plot["name"] for plot in plots] == ["tornado-ottt-o", "tornado-sltt-o"]
    for plot, pair in zip(plots, section()["pairs"], strict=True):
        assert plot["svg"].startswith("<svg ")
        for bar in [bar for bar in pair["tornado"] if bar["swing"] > 0][:8]:
            assert bar["label"] in plot["svg"]
        for bar in pair["tornado"]:
            if bar["swing"] == 0:
                assert bar["label"] not in plot["svg"]
        identifiers = re.findall(r'\bid="([^"]+)"', plot["svg"])
        assert identifiers
        assert all(identifier.startswith(plot["name"]) for identifier in identifiers)
    assert plots == tornado_plots(section())


def knob(course: Any, unit: str) -> Knob:
    return Knob("k", "bits of a trace", 8.0, 6.0, 10.0, (2.0, 16.0), unit, lambda pricer, _: pricer, course)


@pytest.mark.parametrize(
    ("ratio", "value", "course", "words"),
    [
        (2.0, 4.0, "steps", "a becomes cheaper than b in energy with bits of a trace up to 4 bits (now 8 bits)."),
        (0.5, 12.0, "steps", "a becomes dearer than b in energy with bits of a trace from 12 bits on (now 8 bits)."),
        (2.0, 4.0, "smooth", "a becomes cheaper than b in energy with bits of a trace below 4 bits (now 8 bits)."),
        (2.0, 9.5, "smooth", "a becomes cheaper than b in energy with bits of a trace above 9.5 bits (now 8 bits)."),
        (2.0, None, "smooth", "bits of a trace, 2 bits to 16 bits: the order of a and b in energy does not flip."),
    ],
)
def test_sentences_of_knobs(ratio: float, value: float | None, course: str, words: str) -> None:
    assert knob_sentence("a", "b", ratio, knob(course, "bits"), value) == words


def test_all_flips_stand_in_one_sentence_the_nearest_first() -> None:
    flips = [(knob("steps", "bits"), 2.0), (knob("smooth", "bits"), 10.0)]
    assert flips_sentence("a", "b", 2.0, flips) == (
        "a becomes cheaper than b in energy with bits of a trace above 10 bits (now 8 bits); or with "
        "bits of a trace up to 2 bits (now 8 bits)."
    )


@pytest.mark.parametrize(
    ("flip", "leaves", "ratios", "words"),
    [
        (
            50,
            50,
            (2.0, 0.5),
            "from T = 50 on (now 20; further steps taken like the later ones of now). From there on the history of b "
            "no longer fits on the chip and is priced in DRAM.",
        ),
        (60, 50, (2.0, 0.5), " The history of b no longer fits on the chip from T = 50 on and is priced in DRAM."),
        (60, 50, (2.0, None), " The history of b no longer fits on the chip from T = 50 on."),
        (5, None, (2.0, 2.0), "a becomes cheaper than b in energy up to T = 5 (now 20; further steps taken like"),
        (None, None, (2.0, 3.0), "No number of steps from 1 to 64 flips the order: a stays dearer than b in energy."),
        (None, 9, (None, None), "The chip holds the history of b at no number of steps that was tried."),
    ],
)
def test_sentences_of_steps(flip: int | None, leaves: int | None, ratios: tuple[Any, Any], words: str) -> None:
    steps = {"steps": [1, 64], "ratio": list(ratios), "now": 20, "ratio_now": 2.0, "flip": flip, "leaves_chip": leaves}
    assert words in steps_sentence("a", "b", steps)


def test_a_chip_that_grows_prices_no_history_in_dram() -> None:
    steps = {"steps": [1, 64], "ratio": [2.0, 1.5], "now": 20, "ratio_now": 2.0, "flip": None, "leaves_chip": 50}
    assert steps_sentence("a", "b", steps, "grow").endswith("from T = 50 on, whose memory is enlarged.")


def pair(flips: list[float | None], **steps: Any) -> dict[str, Any]:
    """A rule and its baseline with one knob of each kind of unit."""
    kinds = [("x", 1.0), ("V", 0.9), ("bits", 4.0), ("lanes", 16.0)]
    known = {"steps": [1, 64, 512], "ratio": [2.0, 1.5, None], "now": 20, "flip": None, "leaves_chip": None}
    bars = [
        {"knob": unit, "label": f"knob in {unit}", "unit": unit, "base": base, "swing": 0.0} for unit, base in kinds
    ]
    turned = [{"knob": unit, "value": value} for (unit, _), value in zip(kinds, flips, strict=True)]
    return {"rule": "a", "baseline": "b", "ratio": 2.0, "tornado": bars, "flips": turned, "steps": known | steps}


@pytest.mark.parametrize(
    ("flips", "steps", "words"),
    [
        (
            [None] * 4, {},
            "No T from 1 to 64 flips the order. None of 4 numbers of chip and formats, each turned alone, flips it.",
        ),
        (
            [None, 0.877, None, None], {"flip": 5},
            "The order flips up to T = 5 (now 20). 1 of 4 numbers of chip and formats, each turned alone, flips it: "
            "knob in V below 0.877 V (now 0.9).",
        ),
        (
            [3.0, None, 2.0, 32.0], {"flip": 50, "leaves_chip": 50},
            "The order flips from about T = 50 on (now 20), where the history of b outgrows the chip. 3 of 4 numbers "
            "of chip and formats, each turned alone, flip it: knob in bits up to 2 (now 4); knob in lanes from 32 "
            "(now 16); knob in x above 3 times.",
        ),
        (
            [4.0, 1.8, 5.0, 32.0], {"flip": 60, "leaves_chip": 50},
            "The order flips from about T = 60 on (now 20). 4 of 4 numbers of chip and formats, each turned alone, "
            "flip it; the nearest are knob in bits from 5 (now 4); knob in V above 1.8 V (now 0.9); knob in lanes "
            "from 32 (now 16).",
        ),
        ([None] * 4, {"ratio": [None] * 3}, "No other T could be tried. None of 4"),
    ],
)  # fmt: skip
def test_the_short_form_names_the_nearest_flips_alone(flips: list[Any], steps: dict[str, Any], words: str) -> None:
    assert order_sentences(pair(flips, **steps)).startswith(words)
    assert short_lines({"pairs": [pair(flips, **steps)]}) == [
        f"Energy of a over b: 2.00. {order_sentences(pair(flips, **steps))}"
    ]


def test_the_short_form_of_a_real_section_is_shorter_and_agrees_with_the_long_one() -> None:
    short, long = short_lines(section()), sensitivity_lines(section())
    assert short_lines(None) == []
    assert [line.partition(")")[0] for line in short] == [line.partition(")")[0] for line in long[: len(short)]]
    assert all(len(one) < len(other) for one, other in zip(short, long, strict=False))
    for line, entry in zip(short, section()["pairs"], strict=True):
        turning = sum(flip["value"] is not None for flip in entry["flips"])
        count = f"{turning or 'None'} of {len(entry['flips'])} numbers"
        assert count in line
