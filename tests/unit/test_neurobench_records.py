"""NeuroBench's counts by brute force: every weight that meets every input, tap by tap."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multicore_networks import spec_of

from neurochip.activity import SampleTrace
from neurochip.neurobench_records import connection_sparsity, network_layers, synaptic_operations, weights_met
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape

DENSE = spec_of("bptt-o")


@st.composite
def shapes(draw: st.DrawFn) -> ConvShape:
    size, groups = st.integers(1, 5), draw(st.integers(1, 2))
    kernel = st.integers(1, 3)
    padding, stride = st.integers(0, 2), st.integers(1, 3)
    shape = ConvShape(
        draw(size), draw(size), groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), draw(kernel),
        draw(kernel), draw(stride), draw(stride), draw(padding), draw(padding), groups,
    )  # fmt: skip
    if (
        shape.height + 2 * shape.padding_y < shape.kernel_height
        or shape.width + 2 * shape.padding_x < shape.kernel_width
    ):
        return replace(shape, kernel_height=1, kernel_width=1)
    return shape


def conv_layer(shape: ConvShape, inputs: tuple[Connection, ...] = ()) -> LayerSpec:
    return replace(DENSE.layers[0], kind="conv", conv=shape, n_in=shape.n_in, n_out=shape.n_out, inputs=inputs)


@given(shapes(), st.integers(0, 99))
def test_weights_that_an_event_meets_are_those_of_its_taps(shape: ConvShape, seed: int) -> None:
    chosen = np.random.default_rng(seed).random((shape.n_rows, shape.columns)) < 0.5
    expected = [sum(int(chosen[row].sum()) for row, _ in shape.taps(address)) for address in range(shape.n_in)]
    assert weights_met(conv_layer(shape), chosen).tolist() == expected


def test_a_dense_layer_meets_its_row() -> None:
    chosen = np.random.default_rng(1).random((DENSE.layers[0].n_in, DENSE.layers[0].n_out)) < 0.5
    assert weights_met(DENSE.layers[0], chosen).tolist() == chosen.sum(axis=1).tolist()


def pooled_spec(event_bits: int) -> CoreSpec:
    """2 x 4 x 2 inputs, summed by 1 x 2, a convolution, and a readout."""
    shape = ConvShape(2, 2, 2, 3, 2, 2, 1, 1, 1, 0)
    layer = conv_layer(shape, inputs=(Connection(-1, 2, 2, 4, 1, 2),))
    readout = replace(DENSE.layers[-1], n_in=shape.n_out, n_out=2, inputs=())
    return replace(DENSE, layers=(layer, readout), n_steps=3, event_bits=event_bits)


def test_operations_are_macs_where_an_input_is_no_spike() -> None:
    spec, rng = pooled_spec(event_bits=2), np.random.default_rng(4)
    events = rng.random((5, 3, 16)) < 0.12
    spikes = rng.random((5, 3, spec.layers[0].n_out)) < 0.4
    graded = events & (rng.random(events.shape) < 0.15)
    weights = [rng.integers(-1, 2, (layer.n_weight_rows + 1, layer.columns)) for layer in spec.layers]
    trace = SampleTrace(np.arange(5), {"event/0": events, "event/1": spikes, "graded/0": graded})
    macs = acs = 0
    connection, conv = spec.connections(0)[0], spec.layers[0].conv
    assert conv is not None
    for sample, step in product(range(5), range(3)):
        values = np.zeros(conv.n_in, dtype=int)
        for source in np.flatnonzero(events[sample, step]):
            address = connection.address(int(source))
            assert address is not None
            values[address] += 2 if graded[sample, step, source] else 1
        met = sum(
            int((weights[0][row] != 0).sum())
            for address in np.flatnonzero(values)
            for row, _ in conv.taps(int(address))
        )
        if (values > 1).any():
            macs += met
        else:
            acs += met
        acs += int((weights[1][:-1][spikes[sample, step]] != 0).sum())
    assert macs and acs
    dense = 3 * (sum(3 * len(list(conv.taps(address))) for address in range(conv.n_in)) + weights[1][:-1].size)
    assert synaptic_operations(spec, weights, trace) == {
        "Effective_MACs": macs / 5, "Effective_ACs": acs / 5, "Dense": float(dense),
    }  # fmt: skip


@pytest.mark.parametrize("graded", [True, False])
def test_graded_events_make_macs_of_a_call(graded: bool) -> None:
    spec = replace(DENSE, event_bits=2)
    n_in, n_hidden = spec.layers[0].n_in, spec.layers[0].n_out
    event = np.zeros((1, spec.n_steps, n_in), dtype=np.bool_)
    event[0, 0, 0] = True
    bitmaps = {"event/0": event, "graded/0": event & graded}
    bitmaps |= {
        f"event/{index + 1}": np.zeros((1, spec.n_steps, layer.n_out), dtype=np.bool_)
        for index, layer in enumerate(spec.layers)
        if layer.is_hidden
    }
    weights = [np.ones((layer.n_weight_rows + 1, layer.columns), dtype=np.int64) for layer in spec.layers]
    found = synaptic_operations(spec, weights, SampleTrace(np.arange(1), bitmaps))
    assert (found["Effective_MACs"], found["Effective_ACs"]) == ((n_hidden, 0) if graded else (0, n_hidden))


def test_sparsity_leaves_biases_and_heads_out() -> None:
    weights = [np.ones((layer.n_weight_rows + 1, layer.columns), dtype=np.int64) for layer in DENSE.layers]
    for matrix in weights:
        matrix[-1] = 0
    weights[0][0, 0] = 0
    n_weights = sum(layer.n_weight_rows * layer.columns for layer in DENSE.layers)
    assert connection_sparsity(DENSE, weights) == round(1 / n_weights, 4) > 0
    head = replace(DENSE.layers[-1], n_in=DENSE.layers[0].n_out)
    assert network_layers(replace(DENSE, layers=(DENSE.layers[0], head, DENSE.layers[-1]))) == [0, 2]
