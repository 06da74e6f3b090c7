"""Rules of a small network on the default chip, with drawn activity: what tests of prices without a run share."""

from __future__ import annotations

from neurochip.chip import Chip, load_chip
from neurochip.config import parse_experiment
from neurochip.microarch.interface import Gates
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, layer_shapes
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.rules.presets import find_rule
from neurochip.spec import CoreSpec
from neurochip.synthetic import Assumed, activity_of_drawing, draw_trace

CHIP = load_chip("ottt-core-28nm")
RULES = ["ottt-o", "sltt-o", "bptt-o", "ottt-a", "bptt", "infer"]
ASSUMED = Assumed((0.05, 0.2))
FRACS = Fracs(weight=(7, 6), membrane=(9,), trace=(5, 5), error=(7, 6), readout=6)


def spec_of(rule: str, steps: int = 12, chip: Chip = CHIP, n_inputs: int = 90, hidden: int = 40) -> CoreSpec:
    """A network of one hidden layer and six classes."""
    layers = [{"kind": "dense", "neurons": hidden, "leak_shift": 1}, {"kind": "readout"}]
    experiment = parse_experiment({"task": {"steps": steps}, "network": {"layers": layers}}, "the test")
    shapes = layer_shapes(experiment, n_inputs, 6)
    return core_spec(experiment, find_rule(rule), shapes, FRACS, Lanes(chip.lanes, chip.trace_lanes))


def priced(rule: str, chip: Chip = CHIP, n_samples: int = 6, assumed: Assumed = ASSUMED, steps: int = 12) -> PricedRule:
    """A rule with drawn activity on a chip."""
    spec = spec_of(rule, steps, chip)
    trace = draw_trace(assumed, spec, n_samples, 1)
    activity = activity_of_drawing(trace, spec, chip.lanes, chip.trace_lanes)
    return PricedRule(find_rule(rule), Pricer(chip, Gates(), spec), activity, trace)
