"""Do the layers of an experiment become the connections and maps that docs/semantics.md, section 3, means?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurochip.config import Experiment, load_experiment, parse_experiment
from neurochip.errors import UserError
from neurochip.network.shape import LayerShape, layer_shapes
from neurochip.network.wiring import addresses_of, taps_per_address, taps_per_source
from neurochip.topology import Connection, ConvShape

CONV: dict[str, Any] = {"kind": "conv2d", "channels": 4, "kernel": 3, "padding": 1}
READOUT = {"kind": "readout"}


def experiment_of(*layers: dict[str, Any], **network: Any) -> Experiment:
    return parse_experiment({"network": {"layers": [*layers, READOUT], **network}}, "the test")


def shapes_of(*layers: dict[str, Any], size: tuple[int, int, int] = (2, 8, 6), **network: Any) -> list[LayerShape]:
    return list(layer_shapes(experiment_of(*layers, **network), int(np.prod(size)), 3, size))


def test_a_convolution_reads_the_map_of_the_input_channel_first_and_has_one_kernel_for_all_positions() -> None:
    layer, readout = shapes_of({**CONV, "kernel": [3, 2], "stride": [2, 1], "padding": [1, 0], "groups": 2})
    assert layer.kind == "conv"
    assert layer.inputs == (Connection(-1, 2, 8, 6, carries_error=False, channels_first=True),)
    assert layer.conv == ConvShape(8, 6, 2, 4, 3, 2, 2, 1, 1, 0, 2)
    assert (layer.n_in, layer.n_out, layer.out_map) == (96, 4 * 5 * 4, (4, 4, 5))
    assert (layer.n_weight_rows, layer.n_bias_rows, layer.columns) == (12, 2, 2)
    assert layer.n_weights == (12 + 2) * 2
    assert (readout.n_in, readout.inputs) == (80, ())


def test_pools_and_flatten_fold_into_the_next_connection_and_windows_multiply() -> None:
    pools = ({"kind": "sumpool", "kernel": [1, 3]}, {"kind": "avgpool", "kernel": 2}, {"kind": "flatten"})
    readout = shapes_of(CONV, *pools)[-1]
    assert readout.inputs == (Connection(0, 4, 8, 6, pool_height=2, pool_width=6),)
    assert (readout.n_in, readout.frac_event) == (4 * 1 * 4, 2)
    assert all(c.carries_error for c in readout.inputs)


def test_a_pool_without_a_kernel_takes_the_whole_map() -> None:
    readout = shapes_of({**CONV, "stride": 2}, {"kind": "sumpool"})[-1]
    assert readout.inputs == (Connection(0, 4, 4, 3, pool_height=4, pool_width=3),)
    assert (readout.n_in, readout.frac_event) == (4, 0)


def test_the_input_itself_can_be_pooled_or_added() -> None:
    first = shapes_of({"kind": "sumpool", "kernel": 2}, {"kind": "dense", "neurons": 3})[0]
    assert first.inputs == (Connection(-1, 2, 8, 6, 2, 2, carries_error=False, channels_first=True),)
    assert first.n_in == 2 * 4 * 3
    added = shapes_of({**CONV, "channels": 2}, {"kind": "add", "layer": "input"})[-1]
    assert [c.source for c in added.inputs] == [0, -1]
    assert added.n_in == 96


def test_a_residual_add_is_two_connections_at_one_offset_pooled_alike() -> None:
    shapes = shapes_of(
        {**CONV, "name": "a"}, CONV, {"kind": "add", "layer": "a"}, {"kind": "avgpool", "kernel": 2}, CONV
    )
    assert shapes[2].inputs == (Connection(1, 4, 8, 6, 2, 2), Connection(0, 4, 8, 6, 2, 2))
    assert (shapes[2].n_in, shapes[2].frac_event) == (48, 2)


def test_dense_layers_add_too() -> None:
    dense = {"kind": "dense", "neurons": 5}
    readout = shapes_of({**dense, "name": "a"}, dense, {"kind": "add", "layer": "a"})[-1]
    assert readout.inputs == (Connection(1, 5), Connection(0, 5))
    assert readout.n_in == 5


def test_a_recurrent_layer_takes_its_own_spikes_one_step_late_after_the_others() -> None:
    first, second, _ = shapes_of(*[{"kind": "dense", "neurons": n, "recurrent": True} for n in (5, 4)])
    assert first.inputs == (Connection(-1, 96, carries_error=False), Connection(0, 5, delay=1, offset=96))
    assert second.inputs == (Connection(0, 5), Connection(1, 4, delay=1, offset=5))
    assert (first.n_in, second.n_in) == (101, 9)


def test_a_chain_of_dense_layers_needs_no_connections() -> None:
    assert all(shape.inputs == () for shape in shapes_of({"kind": "dense", "neurons": 5}, {"kind": "flatten"}))


def test_a_leaky_readout_keeps_a_trace_with_its_own_leak() -> None:
    experiment = parse_experiment({"network": {"layers": [{"kind": "readout", "leak_shift": 3}]}}, "")
    (readout,) = layer_shapes(experiment, 7, 3)
    assert (readout.leak, readout.trace_leak, readout.keeps_trace) == (("shift", 3), ("shift", 3), True)


def test_the_map_of_the_input_is_that_of_task_network_or_sensor() -> None:
    assert shapes_of(CONV)[0].n_out == 4 * 8 * 6
    stated = layer_shapes(experiment_of(CONV, input_shape=[2, 8, 6]), 96, 3)
    sensor = parse_experiment({"task": {"sensor_size": [6, 8, 2]}, "network": {"layers": [CONV, READOUT]}}, "")
    assert stated == layer_shapes(sensor, 96, 3) == tuple(shapes_of(CONV))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([{**CONV, "kernel": 11}], r"network\.layers\.0 \(conv2d\): kernel = 11 is larger than its input of 8 x 6"),
        ([{**CONV, "groups": 3}], r"groups = 3 must divide its 2 input and 4 output channels"),
        ([{"kind": "dense", "neurons": 4}, CONV], r"network\.layers\.1 \(conv2d\): it needs a map"),
        ([{"kind": "flatten"}, {"kind": "sumpool", "kernel": 2}], "it needs a map"),
        ([{"kind": "sumpool", "kernel": 7}], "kernel 7 x 7 is larger than its map of 8 x 6"),
        ([{"kind": "avgpool"}], "an average over 8 x 6 is no shift"),
        ([{**CONV, "name": "a"}, {**CONV, "stride": 2}, {"kind": "add", "layer": "a"}], "4 x 8 x 6.*4 x 4 x 3"),
        ([{"kind": "avgpool", "kernel": 2}, {"kind": "dense", "neurons": 3, "recurrent": True}], "average pool"),
        (
            [{**CONV, "stride": 2, "name": "a"}, CONV, {"kind": "add", "layer": "input"}],
            r"layer = 'input' has 2 x 8 x 6",
        ),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_refused_by_their_place(layers: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        shapes_of(*layers)


def test_an_add_of_a_pooled_and_an_unpooled_branch_of_one_size_is_refused() -> None:
    half = {**CONV, "kernel": 1, "padding": 0, "stride": 2, "name": "half"}  # 4 x 4
    wide = {**CONV, "kernel": 1, "padding": 2}  # 8 x 8
    with pytest.raises(UserError, match="1 / 4 behind an average pool"):
        shapes_of(half, wide, {"kind": "avgpool", "kernel": 2}, {"kind": "add", "layer": "half"}, size=(2, 8, 8))


@pytest.mark.parametrize("given", [[2, 6, 8], [1, 8, 6]])
def test_a_stated_map_must_be_that_of_the_task(given: list[int]) -> None:
    with pytest.raises(UserError, match=r"network\.input_shape = .* its map is \[2, 8, 6\]"):
        shapes_of(CONV, input_shape=given)


def test_a_map_of_another_size_than_the_input_is_refused() -> None:
    with pytest.raises(UserError, match=r"network\.input_shape is a map of 2 x 8 x 6, 96 addresses; .* has 95"):
        layer_shapes(experiment_of(CONV, input_shape=[2, 8, 6]), 95, 3)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("pool", [(1, 1), (2, 3), (3, 2), (7, 5)])
def test_addresses_of_all_sources_are_those_of_each(pool: tuple[int, int], channels_first: bool) -> None:
    connection = Connection(0, 3, 7, 5, *pool, offset=4, channels_first=channels_first)
    one_by_one = [connection.address(source) for source in range(connection.n_source)]
    assert addresses_of(connection).tolist() == [-1 if address is None else address for address in one_by_one]


@pytest.mark.parametrize(
    "conv", [ConvShape(5, 4, 2, 4, 3, 2), ConvShape(6, 5, 4, 4, 3, 3, 2, 3, 1, 2, 2), ConvShape(4, 4, 1, 2, 4, 4)]
)
def test_numbers_of_taps_are_those_of_the_definition(conv: ConvShape) -> None:
    counted = [len(list(conv.taps(address))) for address in range(conv.n_in)]
    assert taps_per_address(conv.n_in, conv).tolist() == counted
    connection = Connection(0, conv.channels, conv.height * 2 + 1, conv.width * 2, 2, 2)
    expected = [0 if (at := connection.address(s)) is None else counted[at] for s in range(connection.n_source)]
    assert taps_per_source(connection, conv.n_in, conv).tolist() == expected


def test_a_list_of_inputs_may_be_seen_as_any_map_of_its_size() -> None:
    tables = {"network": {"layers": [{"kind": "conv2d", "channels": 2, "kernel": 3}, {"kind": "readout"}]}}
    seen = load_experiment(None, ["network.input_shape=[3,4,5]"], tables=tables)
    assert layer_shapes(seen, 60, 2, (1, 1, 60))[0].n_out == 2 * 2 * 3
    with pytest.raises(UserError, match="is not allowed with this task"):
        layer_shapes(seen, 60, 2, (1, 6, 10))


LEAKS = ({"leak_shift": 1}, {"leak_shift": 2}, {"leak_shift": 3})


def trace_leaks(trace_leak: str, *layers: dict[str, Any], readout: dict[str, Any] | None = None) -> list[int]:
    tables = {"network": {"layers": [*layers, READOUT | (readout or {})]}, "learning": {"trace_leak": trace_leak}}
    shapes = layer_shapes(parse_experiment(tables, "the test"), 96, 3, (2, 8, 6))
    return [shape.trace_leak[1] for shape in shapes]


def test_traces_leak_as_the_layer_they_feed_or_as_those_their_spikes_come_from() -> None:
    dense = [{"kind": "dense", "neurons": 4, **leak} for leak in LEAKS[:2]]
    assert trace_leaks("post", *dense, readout=LEAKS[2]) == [1, 2, 3]
    assert trace_leaks("pre", *dense, readout=LEAKS[2]) == [1, 1, 2]  # those of the input: as the layer they feed
    assert trace_leaks("pre", dense[0], {**dense[1], "leak_shift": 1, "recurrent": True}) == [1, 1, 0]


@pytest.mark.parametrize("added", [{"leak_shift": 2}, {"leak_shift": 1}])
def test_presynaptic_leaks_of_one_layer_are_the_same(added: dict[str, Any]) -> None:
    layers = [{**CONV, "name": "a", "leak_shift": 1}, {**CONV, **added}, {"kind": "add", "layer": "a"}, CONV]
    if added == LEAKS[0]:
        assert trace_leaks("pre", *layers) == [1, 1, 1, 0]
        return
    with pytest.raises(UserError, match=r"network.layers.3 \(conv2d\): learning.trace_leak = 'pre' needs the same"):
        trace_leaks("pre", *layers)
    assert trace_leaks("post", *layers) == [1, 2, 1, 0]
