"""The axes of a map: what is varied, over which values, and how a value becomes a network and assumed rates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from neurochip.config import Experiment, parse_experiment, toml_value
from neurochip.errors import UserError
from neurochip.estimate import DEFAULT_RATE, Asked
from neurochip.network.named import NamedNetwork, named_network

STEPS, RATE, WIDTH, SURROGATE, OVERFLOW = "steps", "rate", "width", "learning.surrogate", "chip.overflow"
ERRORS = "signal-steps"
SHARES = ("psi", "signal", ERRORS)  # assumed of learning, as the options of `neurochip cost`
TABLES = ("learning", "precision", "chip")  # of the experiment: their keys may be axes
NOT_AXES = ("learning.rule", "learning.rates", "learning.mode")
LABELS = {
    STEPS: "T",
    RATE: "rate",
    "psi": "psi",
    "signal": "signal",
    ERRORS: "steps with an error",
    WIDTH: "hidden width",
    "precision.trace.bits": "trace bits",
    SURROGATE: "surrogate",
    "learning.batch": "batch",
    OVERFLOW: "overflow",
}
DEFAULT_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
DEFAULT_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
DEFAULT_SCALES = ("x0.1", "x0.2", "x0.5", "x1", "x2")  # of rates given per layer, or measured
DEFAULT_AXES: dict[str, tuple[Any, ...]] = {
    WIDTH: ("x0.25", "x0.5", "x1", "x2", "x4"),
    ERRORS: (0.05, 0.2, 0.6, 1.0),
    "precision.trace.bits": (2, 3, 4, 6, 8, 12),
    SURROGATE: ("sigmoid", "triangle", "rectangle"),
    "learning.batch": (1, 4, 16),
    OVERFLOW: ("grow", "dram", "refuse"),
}
HIDDEN = ("dense", "conv2d")  # kinds of layers
EXAMPLE = "--axis steps=5,20,80"
Settings = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """A key and its values in order; a value is a number, a word, or a list with one number per layer."""

    key: str
    values: tuple[Any, ...]

    @property
    def label(self) -> str:
        """What it is called in words."""
        return LABELS.get(self.key, self.key)

    @property
    def positions(self) -> tuple[float, ...] | None:
        """The values as positive numbers, between which a border can be interpolated; None for words and lists."""
        found = [position(value) for value in self.values]
        return None if any(place is None or place <= 0 for place in found) else tuple(p for p in found if p is not None)


def position(value: Any) -> float | None:
    """A number, or that of a factor ("x0.5"); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    return factor(value)


def factor(value: Any) -> float | None:
    """The number of a factor, "x0.5"; None for anything else."""
    match = re.fullmatch(r"x(\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    return float(match[1]) if match else None


def parse_axis(text: str) -> Axis:
    """Read KEY=V1,V2,...; numbers of several layers are joined by colons, "0.05:0.2".

    Raises:
        UserError: no such form, an unknown key, no value, a value twice, or one of the wrong type.
    """
    key, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise UserError(f"--axis {text!r} is not KEY=V1,V2,..., for example {EXAMPLE}")
    key = {"task.steps": STEPS, "signal_steps": "signal-steps"}.get(key, key)
    table, dot, _ = key.partition(".")
    own = key in (STEPS, RATE, WIDTH, *SHARES)
    if not own and (not dot or table not in TABLES or key in NOT_AXES):
        raise UserError(
            f"--axis {key}: is not an axis; allowed are steps, rate, psi, signal, signal-steps, width, and keys of the "
            f"tables {', '.join(TABLES)} of an experiment other than {', '.join(NOT_AXES)}"
        )
    words = [word.strip() for word in listed.split(",")]
    if not all(words):
        raise UserError(f"--axis {text}: a value is missing; give one or more, for example {EXAMPLE}")
    values = tuple(_value(key, word) for word in words)
    numbers = [value if factor(value) is None else ("x", factor(value)) for value in values]  # x1 is x1.0
    twice = [word for index, word in enumerate(words) if numbers[index] in numbers[:index]]
    if twice:
        raise UserError(f"--axis {key}: the value {twice[0]} stands there twice; allowed is every value once")
    return Axis(key, values)


def _value(key: str, word: str) -> Any:
    if key == STEPS:
        if not re.fullmatch(r"[1-9]\d*", word):
            raise UserError(f"--axis {key}: {word} is not allowed; allowed are whole numbers from 1")
        return int(word)
    if key in (WIDTH, RATE):
        if factor(word):
            return word
        if key == WIDTH and not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)*", word):
            raise UserError(
                f"--axis {key}: {word} is not allowed; allowed are neurons (or channels) of the hidden layers from 1, "
                "64, or of each, 64:32, and factors above 0, x0.5"
            )
    if key in (RATE, WIDTH, *SHARES):
        return _numbers(key, word)
    return toml_value(word)


def _numbers(key: str, word: str) -> Any:
    """A fraction, or a list of them; of a width whole numbers."""
    if key == ERRORS and ":" in word:
        raise UserError(f"--axis {key}: {word} is not allowed; allowed is one fraction from 0 to 1 for all layers")
    try:
        numbers = [int(part) if key == WIDTH else float(part) for part in word.split(":")]
    except ValueError:
        numbers = [-1.0]
    if key != WIDTH and not all(0.0 <= number <= 1.0 for number in numbers):
        raise UserError(
            f"--axis {key}: {word} is not allowed; allowed are fractions from 0 to 1, or one for each layer, 0.05:0.2"
        )
    return numbers[0] if len(numbers) == 1 else numbers


def default_sheets(network: NamedNetwork, asked: Asked) -> tuple[list[tuple[Axis, ...]], Settings]:
    """Steps against the rate, and against every axis of `DEFAULT_AXES` alone; and the point that all go through.

    The last sheet is steps against the rate once more where what does not fit lies in DRAM.
    """
    experiment = network.experiment
    scaled = len(asked.rates) > 1 or (network.n_inputs is None and not asked.rates)
    rate = "x1" if scaled else (asked.rates or (DEFAULT_RATE,))[0]
    base: Settings = {STEPS: experiment.task.steps, RATE: rate, WIDTH: "x1", ERRORS: asked.signal_steps}
    base |= {key: _experiment_value(experiment, key) for key in DEFAULT_AXES if key not in base}
    base[OVERFLOW] = base[OVERFLOW] or "grow"
    steps = _with_base(STEPS, DEFAULT_STEPS, base)
    others = {RATE: DEFAULT_SCALES if scaled else DEFAULT_RATES, **DEFAULT_AXES}
    if not n_hidden(experiment):
        del base[WIDTH], others[WIDTH]
    sheets = [(steps, _with_base(key, values, base)) for key, values in others.items()]
    return [*sheets, (*sheets[0], Axis(OVERFLOW, ("dram",)))], base


def _with_base(key: str, values: Sequence[Any], base: Settings) -> Axis:
    if base[key] in values:
        return Axis(key, tuple(values))
    return Axis(key, tuple(sorted([*values, base[key]], key=lambda value: position(value) or 0.0)))


def _experiment_value(experiment: Experiment, key: str) -> Any:
    found: Any = experiment
    for part in key.split("."):
        found = getattr(found, part)
    return found


def at_point(
    text: str, overrides: Sequence[str], asked: Asked, settings: Mapping[str, Any]
) -> tuple[NamedNetwork, Asked]:
    """The network and what is assumed at a point of the map.

    The share of psi != 0 follows the surrogate: potentials are taken to be spread evenly around the threshold, so that
    the share goes as the number of codes that are not 0. What is assumed belongs to the surrogate of the base.

    Raises:
        UserError: a setting that is not allowed, naming axis and value.
    """
    base = named_network(text, overrides)
    changes = [f"{experiment_key(key)}={_toml(value)}" for key, value in settings.items() if experiment_key(key)]
    network = named_network(text, (*overrides, *changes), base.source)
    if WIDTH in settings:
        network = replace(network, experiment=widened(network.experiment, settings[WIDTH], network.source))
    if "psi" not in settings:
        asked = replace(asked, psi=_share_of_surrogate(asked.psi, base.experiment, network.experiment))
    given: dict[str, Any] = {name.replace("-", "_"): settings[name] for name in SHARES if name in settings}
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    if isinstance(given.get("signal"), float):
        given["signal"] = (given["signal"],) * 2
    if RATE in settings and factor(settings[RATE]) is None:
        rate = settings[RATE]
        given["rates"] = tuple(rate) if isinstance(rate, list) else (rate,)
    return network, replace(asked, **given)


def experiment_key(key: str) -> str | None:
    """The key of the experiment that an axis varies; None for what is no part of it."""
    if key == STEPS:
        return "task.steps"
    return None if key in (RATE, WIDTH, *SHARES) else key


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value!r}"


def widened(experiment: Experiment, width: Any, source: str) -> Experiment:
    """The experiment with other hidden layers: so many neurons (channels), one number per layer, or a factor.

    Raises:
        UserError: no hidden layers, or another number of widths than of them, or layers that no longer fit together.
    """
    tables = experiment.to_tables()
    hidden = [layer for layer in tables["network"]["layers"] if layer["kind"] in HIDDEN]
    if not hidden:
        raise UserError(f"{source} has no hidden layer; allowed are other axes than {WIDTH}")
    if isinstance(width, list) and len(width) != len(hidden):
        also = f", or {len(hidden)}" if len(hidden) > 1 else ""
        raise UserError(f"{axis_word(width)} has {len(width)} widths; allowed is one{also}")
    for index, layer in enumerate(hidden):
        key = "neurons" if layer["kind"] == "dense" else "channels"
        by = factor(width)
        number = width[index] if isinstance(width, list) else width
        layer[key] = max(1, round(layer[key] * by)) if by is not None else number
    return parse_experiment(tables, source)


def n_hidden(experiment: Experiment) -> int:
    """Layers with neurons that fire and weights."""
    return sum(layer.kind in HIDDEN for layer in experiment.network.layers)


def axis_word(value: Any) -> str:
    """A value as it is written after --axis KEY=."""
    return ":".join(map(axis_word, value)) if isinstance(value, list) else str(value)


def _share_of_surrogate(
    psi: float | tuple[float, ...], base: Experiment, experiment: Experiment
) -> float | tuple[float, ...]:
    ratio = nonzero_codes(experiment) / nonzero_codes(base)
    shares = tuple(min(1.0, share * ratio) for share in (psi if isinstance(psi, tuple) else (psi,)))
    return shares if isinstance(psi, tuple) else shares[0]


def nonzero_codes(experiment: Experiment) -> int:
    """Entries of the surrogate's table that are not 0: 1/16 of the threshold's unit each."""
    from neurochip.reference.core.arithmetic import surrogate_table

    return sum(
        code != 0 for code in surrogate_table(experiment.learning.surrogate, experiment.precision.surrogate.bits)
    )
