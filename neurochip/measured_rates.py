"""Mean rates of a finished run, per layer and step: totals of its activity -> what `cost --rates-of` draws from.

Nothing but the totals is used, so a run that recorded no samples serves as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurochip.activity import FIELD_INDEX, Activity
from neurochip.config import Experiment
from neurochip.errors import UserError
from neurochip.microarch import taps
from neurochip.microarch.shapes import ceil_div
from neurochip.network.resolve import Lanes
from neurochip.network.shape import LayerShape, layer_shapes
from neurochip.rules.presets import NO_LEARNING, Rule, find_rule
from neurochip.spec import NETWORK_INPUT, CoreSpec
from neurochip.synthetic import TINY, Assumed

if TYPE_CHECKING:
    from neurochip.repricing import SavedRun

HALVINGS = 50  # of the interval in which a share is sought
Fractions = NDArray[np.float64]  # [steps, layers]
Table = tuple[tuple[float, ...], ...]


def check_same_network(run: SavedRun, experiment: Experiment, shapes: Sequence[LayerShape]) -> None:
    """Refuse rates of a run of other layers, steps or loss steps than those to be priced.

    Raises:
        UserError: naming what differs.
    """
    source, task = f"--rates-of {run.directory}", run.report["task"]
    theirs = layer_shapes(run.experiment, task["n_inputs"], len(task["classes"]))
    for index, (there, here) in enumerate(zip_longest(map(_written, theirs), map(_written, shapes), fillvalue="none")):
        if there != here:
            raise UserError(
                f"{source}: layer {index} of the run is {there}, that of --network {here}; allowed is a run of the "
                "same layers"
            )
    if run.experiment.task.steps != experiment.task.steps:
        raise UserError(
            f"{source}: a sample of the run has {run.experiment.task.steps} steps, one to be priced has "
            f"{experiment.task.steps}; give --steps {run.experiment.task.steps}"
        )
    for key in ("loss_start", "update_every"):
        there, here = getattr(run.experiment.learning, key), getattr(experiment.learning, key)
        if there != here:
            raise UserError(
                f"{source}: learning.{key} of the run is {there}, not {here}; give --set learning.{key}={there}"
            )


def _written(layer: LayerShape) -> str:
    """All that two layers must share to have rates in common."""
    sizes, conv = f"{layer.kind} of {layer.n_in} inputs and {layer.n_out} outputs", layer.conv
    if conv is None:
        return sizes
    return (
        f"{sizes} (kernel {conv.kernel_height}x{conv.kernel_width}, stride {conv.stride_y}x{conv.stride_x}, padding "
        f"{conv.padding_y}x{conv.padding_x}, {conv.groups} groups)"
    )


def source_rule(run: SavedRun, rule: Rule) -> Rule:
    """The rule of a run whose rates a rule is priced at: itself, else the first that learns.

    Raises:
        UserError: if the rule learns and none of the run does.
    """
    known = [find_rule(result["rule"]) for result in run.report["results"] if result["precision"] == "fixed"]
    same = [one for one in known if one.name == rule.name]
    learning = [one for one in known if one.group != NO_LEARNING]
    if not same and not learning and rule.group != NO_LEARNING:
        raise UserError(
            f"--rates-of {run.directory}: no rule of the run learns, so it has no rates of errors for {rule.name}; "
            f"allowed is --rules {NO_LEARNING}"
        )
    return (same or learning or known)[0]


def measured_rates(
    run: SavedRun, experiment: Experiment, shapes: Sequence[LayerShape], rules: Sequence[Rule]
) -> tuple[list[Assumed], dict[str, Any]]:
    """Mean rates per step and layer of the last epoch of a run.

    Args:
        run: a finished run of the network to be priced.
        experiment, shapes, rules: what is priced.

    Returns:
        For every rule what is drawn, and the section `activity` of a document that says it.

    Raises:
        UserError: if the run is of another network, or cannot say the rates of a rule.
    """
    check_same_network(run, experiment, shapes)
    drawn, written = [], []
    for rule in rules:
        source = source_rule(run, rule)
        activity = run.recorded_of(source.name).epochs[-1]
        spec = run.spec(source.name, Lanes(activity.synapse_lanes, activity.trace_lanes))
        rates = mean_rates(activity, spec, rule.temporal == "unroll")
        drawn.append(rates)
        learning = NO_LEARNING not in (rule.group, source.group)
        numbers = {key: value for key, value in asdict(rates).items() if key == "rate" or learning}
        written.append({"rule": rule.name, "measured_on": source.name, **numbers})
    name = run.report["name"]
    return drawn, {
        "source": "rates-of-run",
        "run": name,
        "rate": [float(rate) for rate in np.mean(drawn[0].rate, axis=0)],
        "rate_source": f"mean over the steps of the run {name}",
        "rates_of_rules": written,
    }


def mean_rates(activity: Activity, spec: CoreSpec, for_unroll: bool) -> Assumed:
    """Mean rates of a pass, per step and layer.

    Heads of a rule are left out: what is drawn for them is what the readout has.

    Args:
        activity: totals of the pass.
        spec: its network and rule.
        for_unroll: whether an unrolled rule is to be priced, whose signals are carried errors.
    """
    hidden = [index for index, layer in enumerate(spec.layers) if layer.is_hidden]
    n_out = np.array([layer.n_out for layer in spec.layers])
    mean = {name: activity.totals[:-1, :, at] / activity.n_samples for name, at in FIELD_INDEX.items()}
    rate = np.column_stack([_input_rate(activity, spec), mean["spikes"][:, hidden] / n_out[hidden]])
    if not activity.learning:
        return Assumed(_table(rate))
    carried = spec.credit == "unroll" and for_unroll
    return Assumed(
        rate=_table(rate),
        psi=_table(mean["psi_nonzero"][:, hidden] / n_out[hidden]),
        word_lanes=activity.synapse_lanes,
        carried=carried,
        **_error_rates(mean, spec, hidden, activity.synapse_lanes, carried),
    )


def _error_rates(
    mean: dict[str, Fractions], spec: CoreSpec, hidden: list[int], lanes: int, carried: bool
) -> dict[str, Table]:
    """`signal_steps`, `signal` and `signal_words` of the hidden layers and the readout.

    Learning signals come in groups: in some samples of a step, and there in some words, as outputs of a convolution
    that share an error are neighbours.
    """
    learning = [*hidden, len(spec.layers) - 1]
    layers = [spec.layers[index] for index in learning]
    n_out = np.array([layer.n_out for layer in layers])
    words = np.array([layer.n_blocks * ceil_div(layer.columns, lanes) for layer in layers])
    share = mean["signal_nonzero"][:, learning] / n_out
    able = np.ones_like(share)  # outputs that can have a signal
    if not carried:
        able[:, :-1] = mean["psi_nonzero"][:, hidden] / n_out[:-1]
    steps = _share_of_groups(share, mean["signal_steps"][:, learning], n_out, _over(share, able))
    share = _over(share, steps)
    in_words = _share_of_groups(share, _over(mean["signal_words"][:, learning] / words, steps), n_out / words, share)
    return {
        "signal_steps": _table(steps),
        "signal": _table(_over(share, able)),
        "signal_words": _table(np.maximum(in_words, _over(share, able))[:, :-1]),
    }


def _share_of_groups(share: Fractions, some: Fractions, size: NDArray[Any], least: Fractions) -> Fractions:
    """The share q >= least of groups of `size` outputs that signals are drawn in, so that as many hold some as did.

    With signals of share s in all groups, those with some are w = q*(1 - (1 - s/q)^size), which grows with q; s and w
    are known. 1 where even signals on their own would leave more groups empty, 0 where there are none.
    """
    low, high = least, np.ones_like(share)
    for _ in range(HALVINGS):
        q = (low + high) / 2
        too_many = q * (1 - (1 - _over(share, q)) ** size) > some
        low, high = np.where(too_many, low, q), np.where(too_many, q, high)
    return np.where(share > 0, high, 0.0)


def _over(some: Fractions, whole: Fractions) -> Fractions:
    """A share, 0 where there is nothing to have one of."""
    return np.minimum(1.0, some / np.maximum(whole, TINY))


def _table(shares: Fractions) -> Table:
    return tuple(tuple(float(share) for share in step) for step in np.clip(shares, 0.0, 1.0))


def _input_rate(activity: Activity, spec: CoreSpec) -> Fractions:
    """Inputs of the network with an event, [steps]: events of a layer they come to, without those of its other sources.

    Where a pool drops addresses, the spikes of a source are taken to be spread evenly over all of them.
    """
    layer = next(
        index
        for index in range(len(spec.layers))
        if any(one.source == NETWORK_INPUT for one in spec.connections(index))
    )
    events, spikes = (activity.totals[:-1, :, FIELD_INDEX[name]].astype(np.float64) for name in ("events", "spikes"))
    left, n_inputs = events[:, layer].copy(), 0.0
    for connection in spec.connections(layer):
        kept = float(np.count_nonzero(taps.address_map(connection) >= 0))
        if connection.source == NETWORK_INPUT:
            n_inputs += kept
            continue
        sent = spikes[:, connection.source] * (kept / connection.n_source)
        left[connection.delay :] -= sent[: len(sent) - connection.delay]
    return _over(np.maximum(left, 0.0), np.full_like(left, activity.n_samples * n_inputs))
