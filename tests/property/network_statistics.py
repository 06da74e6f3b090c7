"""What a drawn network and its rule are, and what the run of a case reached: the lines of the table of shares."""

from __future__ import annotations

from collections import Counter

import numpy as np
from property_comparison import Statistics
from property_network_cases import TEMPORALS, UPDATES
from property_network_topology import SPATIALS
from property_strategies import Case

from neurochip.reference.core import GoldenCore
from neurochip.spec import LEAK_NONE, NETWORK_INPUT, CoreSpec
from neurochip.topology import Connection

SATURATIONS = ("sat_membrane", "sat_readout", "sat_trace", "sat_error", "sat_delta", "sat_gradient", "sat_weight")


def connections(spec: CoreSpec) -> list[tuple[int, Connection]]:
    """(layer, connection) for all connections."""
    return [(index, one) for index in range(len(spec.layers)) for one in spec.connections(index)]


def drops_a_remainder(one: Connection) -> bool:
    return bool(one.height % one.pool_height or one.width % one.pool_width)


def adds(spec: CoreSpec, index: int, delay: int) -> bool:
    """Whether a layer has two connections with one offset, the second of them with this delay."""
    found = spec.connections(index)
    offsets = Counter(one.offset for one in found)
    return any(offsets[one.offset] > 1 and one.delay == delay for one in found)


def network_features(spec: CoreSpec) -> dict[str, bool]:
    """Which parts of semantics section 3 a network has."""
    found, layers = connections(spec), spec.layers
    hidden = [index for index, layer in enumerate(layers) if layer.is_hidden]
    convs = [layer.conv for layer in layers if layer.conv is not None]
    pools = [(index, one) for index, one in found if one.pool_height * one.pool_width > 1]
    heads = [layer for layer in layers[:-1] if layer.kind == "readout"]
    return {
        "convolution": bool(convs),
        "two convolutions": len(convs) > 1,
        "groups": any(conv.groups > 1 for conv in convs),
        "depthwise": any(1 < conv.groups == conv.channels for conv in convs),
        "blocks of 16 or more columns": any(conv.columns >= 16 for conv in convs),
        "stride": any(conv.stride_y > 1 or conv.stride_x > 1 for conv in convs),
        "padding": any(conv.padding_y or conv.padding_x for conv in convs),
        "kernel not square": any(conv.kernel_height != conv.kernel_width for conv in convs),
        "map not square": any(conv.height != conv.width for conv in convs),
        "convolution over several events of one address": any(layers[k].conv is not None for k, _ in pools),
        "sum pool": any(layers[index].frac_event == 0 for index, _ in pools),
        "average pool": any(layers[index].frac_event for index, _ in pools),
        "pool before a readout": any(layers[index].kind == "readout" for index, _ in pools),
        "pool drops a remainder": any(drops_a_remainder(one) for _, one in pools),
        "input is a map": any(one.source == NETWORK_INPUT and one.height * one.width > 1 for _, one in found),
        "channels first": any(one.channels_first for _, one in found),
        "recurrent dense": any(one.delay and layers[index].conv is None for index, one in found),
        "recurrent convolution": any(one.delay and layers[index].conv is not None for index, one in found),
        "residual add": any(adds(spec, index, delay=0) for index in hidden),
        "residual add of a convolution": any(
            adds(spec, index, delay=0) for index in hidden if layers[index].conv is not None
        ),
        "recurrence added to other inputs": any(adds(spec, index, delay=1) for index in hidden),
        "a layer with two consumers": any(len(spec.error_connections(index)) > 1 for index in hidden),
        "3 or more hidden layers": len(hidden) > 2,
        "heads": bool(heads),
        "frozen heads": any(not layer.learns for layer in heads),
        "feedback layers": any(layer.kind == "feedback" for layer in layers),
        "leaky readout": layers[-1].leak_kind != "none",
    }


def current_features(spec: CoreSpec) -> dict[str, bool]:
    """Which layers have a synaptic current, and what the rule makes of it."""
    layers = [(index, layer) for index, layer in enumerate(spec.layers) if layer.has_current]
    hidden = [index for index, layer in layers if layer.is_hidden]
    unroll = spec.credit == "unroll"
    traced = [layer for _, layer in layers if spec.credit == "trace" and layer.keeps_trace]
    delayed = [index for index in hidden if any(one.delay for one in spec.connections(index))]
    cascade = [
        (layer.trace_leak_kind, layer.trace_leak_value) == (layer.current_leak_kind, layer.current_leak_value)
        and layer.filter_leak_kind != LEAK_NONE
        for layer in traced
    ]
    return {
        "current of a dense layer": any(layer.kind == "dense" for _, layer in layers),
        "current of a convolution": any(layer.kind == "conv" for _, layer in layers),
        "current of a recurrent layer": bool(delayed),
        "current of a leaky readout": spec.layers[-1].has_current,
        "current beside layers without": 0 < len(hidden) < sum(layer.is_hidden for layer in spec.layers),
        "current with deliver neuron": bool(hidden) and spec.deliver == "neuron",
        "current under unroll": unroll and bool(hidden),
        "current under unroll, recurrent": unroll and bool(delayed),
        "current under unroll, of a leaky readout": unroll and spec.layers[-1].has_current,
        "current with reset path exact": unroll and spec.reset_path == "exact" and bool(hidden),
        "current behind feedback": bool(hidden) and any(layer.kind == "feedback" for layer in spec.layers),
        "trace of a current": any(cascade),
        "trace of a current, other leaks": not all(cascade),
    }


def rule_features(case: Case) -> dict[str, bool]:
    """Which parts of the rule space a learning case has."""
    spec = case.spec
    temporal, spatial, update = case.rule.split(" / ")
    windows = -(-spec.n_steps // spec.window_steps) if temporal == "unroll" else 1
    return {
        **{f"temporal {name}": temporal == name for name in TEMPORALS},
        **{f"spatial {name}": spatial == name for name in SPATIALS},
        **{f"update {name}": update == name for name in UPDATES},
        "unroll of several windows": windows > 1,
        "unroll(1)": temporal == "unroll" and spec.window_steps == 1 < spec.n_steps,
        "last window shorter": windows > 1 and spec.n_steps % spec.window_steps > 0,
        "unroll of more than T steps": spec.unroll_steps > spec.n_steps,
        "momentum": spec.momentum_shift > 0,
        "steps without loss": 0 < spec.n_loss_steps < spec.n_steps,
        "no step with loss": spec.n_loss_steps == 0,
        "trace filter": any(layer.filter_leak_kind != "none" for layer in spec.layers),
        "trace gate": temporal == "trace" and spec.trace_gate > 1,
        "readout trace": spec.layers[-1].keeps_trace,
        "reset path exact": spec.reset_path == "exact",
        "batch above 1": spec.batch > 1,
        "delayed error": temporal == "unroll" and any(one.delay for _, one in connections(spec)),
    }


def tabulate_network(case: Case, totals: Counter[str], golden: GoldenCore, table: Statistics) -> None:
    """Enter one case over the whole rule space into the statistics."""
    spec = case.spec
    table.cases += 1
    table.add("hostile", case.hostile)
    table.add("inference only", spec.credit == "none")
    table.add("deliver neuron", spec.deliver == "neuron")
    table.add("graded events", spec.event_bits > 1)
    for name, hit in (network_features(spec) | current_features(spec)).items():
        table.add(name, hit)
    table.add("spikes", totals["spikes"] > 0)
    table.add("sat_membrane", totals["sat_membrane"] > 0)
    table.add("sat_readout", totals["sat_readout"] > 0)
    if spec.credit == "none":
        return
    for name, hit in rule_features(case).items():
        table.add(name, hit)
    tabulate_learning(case, totals, golden, table)


def tabulate_learning(case: Case, totals: Counter[str], golden: GoldenCore, table: Statistics) -> None:
    """What learning did."""
    spec = case.spec
    changed = [(a != np.array(b)).any() for a, b in zip(case.weights, golden.weights, strict=True)]
    learning = [change for change, layer in zip(changed, spec.layers, strict=True) if layer.learns]
    hidden = [change for change, layer in zip(changed, spec.layers, strict=True) if layer.is_hidden]
    assert not any(change for change, layer in zip(changed, spec.layers, strict=True) if not layer.learns)
    table.add("weights change in every layer that learns", all(learning))
    table.add("weights change in some hidden layer", any(hidden))
    kinds = {"convolution": "conv", "head": "readout"}
    for name, kind in kinds.items():
        of_kind = [k for k, layer in enumerate(spec.layers[:-1]) if layer.kind == kind and layer.learns]
        if of_kind:
            table.add(f"weights of a {name} change, if there is one", any(changed[k] for k in of_kind))
    standardised = [k for k in range(len(spec.layers)) if spec.is_standardised(k)]
    table.add("standardised layers", totals["n_standardisations"] > 0)
    table.add("standardised convolution", any(spec.layers[k].conv is not None for k in standardised))
    table.add("standardised more than once", totals["n_standardisations"] > 1)
    table.add("trace of a bias", spec.bias_trace and any(layer.keeps_trace and layer.bias for layer in spec.layers))
    table.add("rates per layer", len({layer.rate_boost for layer in spec.layers}) > 1)
    table.add("random numbers used", totals["random_advances"] > 0)
    table.add("error reaches a row", totals["error_products"] > 0)
    for name in (*SATURATIONS[3:], "underflow_error"):
        table.add(name, totals[name] > 0)
    if spec.credit == "trace":
        table.add("sat_trace of trace rules", totals["sat_trace"] > 0)
    if spec.credit == "unroll":
        table.add("sat_delta of unroll", totals["sat_delta"] > 0)
    if spec.update == "accumulate":
        table.add("sat_gradient of accumulating rules", totals["sat_gradient"] > 0)
