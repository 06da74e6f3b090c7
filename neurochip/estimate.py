"""The story of `neurochip cost`: price a network without training it.

Either rates -> synthetic bitmaps -> activity -> counts -> price, or the activity of a finished run -> counts -> price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import Activity
from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.estimate_document import cost_document
from neurochip.listener import Listener, Silent
from neurochip.microarch.interface import Gates
from neurochip.microarch.replay import at_word_widths, replayed_epoch
from neurochip.network.calibrate import assumed_fracs
from neurochip.network.named import NamedNetwork
from neurochip.network.resolve import Lanes, core_spec
from neurochip.network.shape import Fracs, LayerShape, layer_shapes, leak_factor, sensor_map
from neurochip.network.wiring import MapSize
from neurochip.priced import PricedRule
from neurochip.pricing import Pricer
from neurochip.rules.presets import DEFAULT_COMPARISON, Rule, find_rule
from neurochip.setup import chip_of
from neurochip.synthetic import Assumed, activity_of_drawing, draw_events, draw_trace

if TYPE_CHECKING:
    from neurochip.repricing import SavedRun

DEFAULT_RATE = 0.1
DEFAULT_SAMPLES = 16
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
    """

    rates: tuple[float, ...] = ()
    psi: float | tuple[float, ...] = Assumed.psi
    signal_steps: float = Assumed.signal_steps
    signal: tuple[float, ...] = Assumed.signal
    n_samples: int | None = None
    seed: int = 1


def cost_from_rates(network: NamedNetwork, asked: Asked, listener: Listener | None = None) -> Numbers:
    """Price the rules of an experiment at assumed rates; returns the document of docs/cost.md.

    Raises:
        UserError: anything wrong with network, rules, rates or chip, or a network that does not fit the chip.
    """
    experiment = network.experiment
    with _named(network.source):
        n_inputs, n_classes, task_rate, input_map = _ends(network, listener or Silent())
        shapes = layer_shapes(experiment, n_inputs, n_classes, input_map)
    rate, origin = _rates(asked, len(shapes), task_rate)
    assumed = Assumed(rate, asked.psi, asked.signal_steps, asked.signal)
    assumed.check()
    _check_lengths(assumed, len(shapes) - 1)
    n_asked = default_samples(shapes, experiment.task.steps) if asked.n_samples is None else asked.n_samples
    if n_asked < 1:
        raise UserError(f"--samples is {n_asked}; allowed are whole numbers from 1")
    rules = [find_rule(name) for name in experiment.run.rules or DEFAULT_COMPARISON]
    with _named(network.source):
        fracs = _fracs(experiment, shapes, assumed, n_asked, asked.seed, rules)
        experiment, pricers = _fitting(experiment, rules, shapes, fracs)
    batch = max(pricer.spec.batch for pricer in pricers)
    n_samples = -(-n_asked // batch) * batch  # whole batches, the same samples for every rule
    for rule, pricer in zip(rules, pricers, strict=True):
        with _named(f"{network.source}, rule {rule.name}"):  # other rules may need less
            pricer.check()
    priced = [_drawn(rule, pricer, assumed, n_samples, asked.seed) for rule, pricer in zip(rules, pricers, strict=True)]
    activity = {
        "source": "assumed",
        "rate": list(rate),
        "rate_source": origin,
        **{key: asdict(assumed)[key] for key in ("psi", "signal_steps", "signal")},
        "n_samples": n_samples,
        "seed": asked.seed,
    }
    inference = {
        one.rule.name: one.pricer.per_sample(replace(one.activity, learning=False), one.trace) for one in priced
    }
    return cost_document(experiment, priced, inference, activity)


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
    rate = len(task.train.addresses) / cells
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


def _check_lengths(assumed: Assumed, n_hidden: int) -> None:
    """One value for all hidden layers, or one for each; --signal has one more, for the readout."""
    if isinstance(assumed.psi, tuple) and len(assumed.psi) != n_hidden:
        raise UserError(
            f"--psi has {len(assumed.psi)} values; allowed is one, or one for each hidden layer, {n_hidden}"
        )
    if len(assumed.signal) not in (2, n_hidden + 1):
        raise UserError(
            f"--signal has {len(assumed.signal)} values; allowed are one or two numbers, or one for each hidden layer "
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
    traces = []
    for index, (shape, rate) in enumerate(zip(shapes, assumed.rate, strict=True)):
        n_drawn = min(shape.n_in, MOST_TRACES)
        events = draw_events((n_samples, experiment.task.steps, n_drawn), rate, seed, index)
        traces.append(_real_traces(events, leak_factor(shape.trace_leak)))
    return assumed_fracs(experiment, shapes, assumed.rate, traces, rules)


def _real_traces(events: NDArray[np.bool_], leak: float) -> NDArray[np.float64]:
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


def _drawn(rule: Rule, pricer: Pricer, assumed: Assumed, n_samples: int, seed: int) -> PricedRule:
    trace = draw_trace(assumed, pricer.spec, n_samples, seed)
    activity = activity_of_drawing(trace, pricer.spec, pricer.chip.lanes, pricer.chip.trace_lanes)
    return PricedRule(rule, pricer, activity, trace)


def cost_of_run(run: SavedRun, rules: Sequence[str] | None, chip_name: str | None) -> Numbers:
    """Price the activity of a finished run; on its own chip the costs are those of its report.json.

    Args:
        run: the finished run.
        rules: those of the run to price (default: all).
        chip_name: another chip than that of the run.

    Raises:
        UserError: a rule that was not run, or a chip that cannot run one.
    """
    experiment = run.experiment
    known = [result["rule"] for result in run.report["results"] if result["precision"] == "fixed"]
    for name in rules or ():
        if name not in known:
            raise UserError(f"--rules {name}: is not in the run {run.directory}; allowed are {', '.join(known)}")
    if chip_name is not None:
        chip_table = experiment.chip.model_copy(update={"name": chip_name})
        experiment = experiment.model_copy(update={"chip": chip_table})
    table = experiment.chip
    chip, gates = chip_of(experiment), Gates(table.gate_zero_trace, table.gate_zero_error, table.gate_zero_surrogate)
    priced, inference = [], {}
    for name in rules or known:
        pricer = Pricer(chip, gates, run.spec(name, Lanes(chip.lanes, chip.trace_lanes)))
        with _named(f"{run.directory}, rule {name}"):
            pricer.check()
        recorded = run.recorded_of(name)
        activity = _on_chip(recorded.epochs[-1], recorded.subset, pricer, run)
        priced.append(PricedRule(find_rule(name), pricer, activity, recorded.subset))
        if recorded.test is not None:
            test = _on_chip(recorded.test, recorded.test_subset, pricer, run)
            inference[name] = pricer.per_sample(test, recorded.test_subset)
    activity_section = {"source": "run", "run": run.report["name"], "n_samples": priced[0].activity.n_samples}
    return cost_document(experiment, priced, inference, activity_section)


def _on_chip(activity: Activity, trace: Any, pricer: Pricer, run: SavedRun) -> Activity:
    """The activity in the words of the chip; another microarchitecture counts the recorded samples alone."""
    lanes = (pricer.chip.lanes, pricer.chip.trace_lanes)
    other = pricer.chip.microarchitecture != run.report["chip"]["microarchitecture"]
    if not other and (not activity.learning or lanes == (activity.synapse_lanes, activity.trace_lanes)):
        return activity
    if trace is None:
        raise UserError(
            f"{run.directory}: no sample was recorded (run.activity_samples = 0), which {pricer.chip.name} needs"
        )
    return (replayed_epoch if other else at_word_widths)(activity, trace, pricer.spec, *lanes)
