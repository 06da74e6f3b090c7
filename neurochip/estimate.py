"""The story of `neurochip cost`: price a network without training it.

Rates, assumed or those of a finished run -> synthetic bitmaps -> activity -> counts -> price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.estimate_document import cost_document
from neurochip.listener import Listener, Silent
from neurochip.measured_rates import measured_rates
from neurochip.microarch.interface import Gates
from neurochip.network.calibrate import assumed_fracs
from neurochip.network.named import NamedNetwork
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import NO_LEAK, Fracs, LayerShape, layer_shapes, leak_factor, sensor_map
from neurochip.network.wiring import MapSize
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.rules.presets import DEFAULT_COMPARISON, Rule, find_rule
from neurochip.setup import chip_of
from neurochip.synthetic import Assumed, activity_of_drawing, draw_events, draw_trace, steps_and_layers

if TYPE_CHECKING:
    from neurochip.repricing import SavedRun

DEFAULT_RATE = 0.1
DEFAULT_SAMPLES = 16
FEWEST_OF_RUN = 8  # samples at the rates of a run, unless --samples says less: errors come in whole samples
MOST_CELLS = 1 << 22  # inputs and outputs times steps and samples that are drawn unless --samples says more
MOST_TRACES = 16_384  # of a layer, enough for its percentile
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is assumed where no run says it.

    Attributes:
        rates: events per input and step: one for all layers, or one per layer (inputs, then hidden layers); empty: the
            rate of the task if there is one, else DEFAULT_RATE.
        psi, signal_steps, signal: as in `neurochip.synthetic.Assumed`.
        n_samples: of the drawing; None: as many as `default_samples` says.
        seed: of the drawing.
        run: a finished run whose mean rates are drawn; rates, psi, signal_steps and signal are then not used.
    """

    rates: tuple[float, ...] = ()
    psi: float | tuple[float, ...] = 0.4
    signal_steps: float = 0.6
    signal: tuple[float, ...] = (0.7, 0.4)
    n_samples: int | None = None
    seed: int = 1
    run: SavedRun | None = None


def cost_from_rates(network: NamedNetwork, asked: Asked, listener: Listener | None = None) -> Numbers:
    """Price the rules of an experiment at assumed rates or those of a run; returns the document of docs/cost.md.

    Raises:
        UserError: anything wrong with network, rules, rates or chip, or a network that does not fit the chip.
    """
    asking = _question(network, asked, listener or Silent())
    with _named(network.source):
        experiment, pricers = asking.pricers()
    for rule, pricer in zip(asking.rules, pricers, strict=True):
        with _named(f"{network.source}, rule {rule.name}"):  # other rules may need less
            pricer.check()
    priced = [asking.drawn(index, pricers) for index in range(len(pricers))]
    inference = {
        one.rule.name: one.pricer.per_sample(replace(one.activity, learning=False), one.trace) for one in priced
    }
    section = asking.section | {"n_samples": asking.whole_batches(pricers), "seed": asked.seed}
    return cost_document(experiment, priced, inference, section)


def draw_point(network: NamedNetwork, asked: Asked) -> tuple[dict[str, Pricer], dict[str, PricedRule], dict[str, str]]:
    """What `cost_from_rates` prices, for one point of many: the same drawing, without the document.

    Returns:
        The pricers of all rules (none where no rule can run), the rules that can run, and why the others cannot.

    Raises:
        UserError: anything wrong with network, rules or rates, but not a rule that does not fit its chip.
    """
    asking = _question(network, asked, Silent())
    names = [rule.name for rule in asking.rules]
    try:
        _, pricers = asking.pricers()
    except UserError as error:  # formats that no rule can run with
        return {}, {}, dict.fromkeys(names, str(error))
    priced, refused = {}, {}
    for index, (name, pricer) in enumerate(zip(names, pricers, strict=True)):
        try:
            pricer.check()
        except UserError as error:
            refused[name] = str(error)
        else:
            priced[name] = asking.drawn(index, pricers)
    return dict(zip(names, pricers, strict=True)), priced, refused


@dataclass(frozen=True)
class _Question:
    """Network, rules and what is drawn for each of them, before anything is fitted to a chip."""

    experiment: Experiment
    shapes: tuple[LayerShape, ...]
    rules: list[Rule]
    assumed: list[Assumed]
    section: Numbers  # `activity` of the document
    n_asked: int
    seed: int

    def pricers(self) -> tuple[Experiment, list[Pricer]]:
        """The experiment with memories that fit, and a pricer per rule."""
        fracs = _fracs(self.experiment, self.shapes, self.assumed[0], self.n_asked, self.seed, self.rules)
        return _fitting(self.experiment, self.rules, self.shapes, fracs)

    def whole_batches(self, pricers: Sequence[Pricer]) -> int:
        """Samples to draw, the same for every rule."""
        batch = max(pricer.spec.batch for pricer in pricers)
        return -(-self.n_asked // batch) * batch

    def drawn(self, index: int, pricers: Sequence[Pricer]) -> PricedRule:
        """The drawing of a rule, priced."""
        pricer = pricers[index]
        trace = draw_trace(self.assumed[index], pricer.spec, self.whole_batches(pricers), self.seed)
        activity = activity_of_drawing(trace, pricer.spec, pricer.chip.lanes, pricer.chip.trace_lanes)
        return PricedRule(self.rules[index], pricer, activity, trace)


def _question(network: NamedNetwork, asked: Asked, listener: Listener) -> _Question:
    experiment = network.experiment
    with _named(network.source):
        n_inputs, n_classes, task_rate, input_map = _ends(network, listener)
        shapes = layer_shapes(experiment, n_inputs, n_classes, input_map)
    rules = [find_rule(name) for name in experiment.run.rules or DEFAULT_COMPARISON]
    assumed, section = _rates_to_draw(asked, experiment, shapes, rules, task_rate)
    n_asked = _samples(asked, shapes, experiment.task.steps)
    return _Question(experiment, shapes, rules, assumed, section, n_asked, asked.seed)


def _rates_to_draw(
    asked: Asked,
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    rules: Sequence[Rule],
    task_rate: float | None,
) -> tuple[list[Assumed], Numbers]:
    """What is drawn for every rule, and how the section `activity` of the document says it."""
    if asked.run is not None:
        return measured_rates(asked.run, experiment, shapes, rules)
    rate, origin = _rates(asked, len(shapes), task_rate)
    assumed = Assumed(rate, asked.psi, asked.signal_steps, asked.signal)
    assumed.check()
    _check_lengths(asked, len(shapes) - 1)
    shares = {key: getattr(asked, key) for key in ("psi", "signal_steps", "signal")}
    return [assumed] * len(rules), {"source": "assumed", "rate": list(rate), "rate_source": origin, **shares}


def _samples(asked: Asked, shapes: Sequence[LayerShape], n_steps: int) -> int:
    """Samples to draw, before they are rounded up to whole batches."""
    if asked.n_samples is None:
        return max(default_samples(shapes, n_steps), 1 if asked.run is None else FEWEST_OF_RUN)
    if asked.n_samples < 1:
        raise UserError(f"--samples is {asked.n_samples}; allowed are whole numbers from 1")
    return asked.n_samples


def _ends(network: NamedNetwork, listener: Listener) -> tuple[int, int, float | None, MapSize | None]:
    """Inputs, classes, and where a task says them the share of inputs with an event in a step and the input map."""
    if network.n_inputs is not None and network.n_classes is not None:
        return network.n_inputs, network.n_classes, None, None
    from neurochip.setup import task_settings
    from neurochip.tasks import load_task

    experiment = network.experiment
    listener.message(f"loading task {experiment.task.name}")
    task = load_task(task_settings(experiment), network.base_dir, experiment.run.seed, listener.message)
    cells = max(1, task.train.n_samples * task.n_steps * task.n_inputs)
    rate = task.train.n_events / cells
    return task.n_inputs, len(task.classes), rate, sensor_map(task.sensor_size)


def _rates(asked: Asked, n_layers: int, task_rate: float | None) -> tuple[tuple[float, ...], str]:
    if not asked.rates:
        if task_rate is None:
            return (DEFAULT_RATE,) * n_layers, "assumed"
        return (task_rate, *(DEFAULT_RATE,) * (n_layers - 1)), "inputs: measured on the task; hidden layers: assumed"
    if len(asked.rates) not in (1, n_layers):
        raise UserError(
            f"--rate has {len(asked.rates)} values; allowed is one, or one for the inputs and each hidden layer, "
            f"{n_layers}"
        )
    return asked.rates * (n_layers if len(asked.rates) == 1 else 1), "given"


def check_asked(asked: Asked, n_layers: int) -> None:
    """Refuse rates and shares that are no fractions or not as many as a network of so many layers needs.

    Raises:
        UserError: naming the option.
    """
    Assumed(_rates(asked, n_layers, None)[0], asked.psi, asked.signal_steps, asked.signal).check()
    _check_lengths(asked, n_layers - 1)


def _check_lengths(asked: Asked, n_hidden: int) -> None:
    """One value for all hidden layers, or one for each; --signal has one more, for the readout."""
    if isinstance(asked.psi, tuple) and len(asked.psi) != n_hidden:
        raise UserError(f"--psi has {len(asked.psi)} values; allowed is one, or one for each hidden layer, {n_hidden}")
    if len(asked.signal) not in (2, n_hidden + 1):
        raise UserError(
            f"--signal has {len(asked.signal)} values; allowed are one or two numbers, or one for each hidden layer "
            f"and one for the readout, {n_hidden + 1}"
        )


def default_samples(shapes: Sequence[LayerShape], n_steps: int) -> int:
    """16 samples, fewer for a network so large that drawing them would take long."""
    addresses = sum(shape.n_in + shape.n_out for shape in shapes)
    return max(1, min(DEFAULT_SAMPLES, MOST_CELLS // (addresses * n_steps)))


def _fitting(
    experiment: Experiment, rules: Sequence[Rule], shapes: tuple[LayerShape, ...], fracs: Fracs
) -> tuple[Experiment, list[Pricer]]:
    """The pricers of the rules; a network too large for a chip that does not say what then is priced on a larger one.

    Nothing is trained here, and what a network would need is the question.
    """
    pricers = _pricers(experiment, rules, shapes, fracs)
    if experiment.chip.overflow is not None or all(_fits(pricer) for pricer in pricers):
        return experiment, pricers
    larger = experiment.model_copy(update={"chip": experiment.chip.model_copy(update={"overflow": "grow"})})
    grown = _pricers(larger, rules, shapes, fracs)
    return (larger, grown) if all(_fits(pricer) for pricer in grown) else (experiment, pricers)


def _fits(pricer: Pricer) -> bool:
    try:
        pricer.check()
    except UserError:
        return False
    return True


def _fracs(
    experiment: Experiment,
    shapes: tuple[LayerShape, ...],
    assumed: Assumed,
    n_samples: int,
    seed: int,
    rules: Sequence[Rule],
) -> Fracs:
    """Formats as calibration would choose them for traces of these events."""
    n_steps, traces = experiment.task.steps, []
    rates = steps_and_layers(assumed.rate, n_steps, len(shapes))
    for index, shape in enumerate(shapes):
        n_drawn = min(shape.n_in, MOST_TRACES)
        events = draw_events((n_samples, n_steps, n_drawn), rates[:, index], seed, index)
        traces.append(_real_traces(events, shape))
    return assumed_fracs(experiment, shapes, [float(rate) for rate in rates.mean(axis=0)], traces, rules)


def _real_traces(events: NDArray[Any], shape: LayerShape) -> NDArray[np.float64]:
    """Traces of these events; with a synaptic current those of the second leak."""
    traces = _decaying(events, leak_factor(shape.trace_leak))
    return traces if shape.filter_leak == NO_LEAK else _decaying(traces, leak_factor(shape.filter_leak))


def _decaying(events: NDArray[Any], leak: float) -> NDArray[np.float64]:
    value = np.zeros(events[:, 0].shape)
    traces = np.zeros(events.shape)
    for t in range(events.shape[1]):
        value = leak * value + events[:, t]
        traces[:, t] = value
    return traces


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Put the source in front of what is wrong."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def _pricers(
    experiment: Experiment, rules: Sequence[Rule], shapes: tuple[LayerShape, ...], fracs: Fracs
) -> list[Pricer]:
    table = experiment.chip
    chip, gates = chip_of(experiment), Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    lanes = Lanes(chip.lanes, chip.trace_lanes)
    return [Pricer(chip, gates, core_spec(experiment, rule, shapes, fracs, lanes)) for rule in rules]
