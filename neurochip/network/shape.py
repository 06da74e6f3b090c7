"""The shape of a network on a task, and its neurons, independent of formats and rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from neurochip.config import Experiment
from neurochip.config_layers import (
    INPUT_NAME,
    Add,
    AvgPool,
    Conv2dLayer,
    DenseLayer,
    LeakyLayer,
    ReadoutLayer,
    SumPool,
    pair,
)
from neurochip.errors import UserError
from neurochip.network.formats import Fracs, HeadFracs
from neurochip.network.wiring import MapSize, Stream, flat
from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, LEAK_SHIFT, NETWORK_INPUT
from neurochip.topology import Connection, ConvShape, LayerGeometry

DEFAULT_LEAK_SHIFT = 1
NO_LEAK = (LEAK_NONE, 0)


@dataclass(frozen=True)
class LayerShape(LayerGeometry):
    """Shape and neuron of one layer with weights; leaks are (kind, value) as in docs/semantics.md, section 2.

    Attributes:
        keeps_trace: whether it would keep one under a `trace` rule.
        inputs: its connections; empty: all of the layer before, as in `LayerSpec`.
        frac_event: frac_m.
        filter_leak: second leak of its trace.
        current_leak: that of its synaptic current; NO_LEAK: it has none.
        attached: of a head or feedback layer, the hidden layer it belongs to.
        out_map: channels, height and width of its outputs, if they are a map.
        scale: f of its events, folded into its weights (semantics section 1).
        gain: g of the standardised weights, f included; 0: they are not standardised.
        fires_above: whether a neuron at its threshold does not fire yet.
    """

    kind: str
    n_in: int
    n_out: int
    bias: bool
    leak: tuple[str, int]
    trace_leak: tuple[str, int]
    keeps_trace: bool
    threshold: float
    reset: str
    inputs: tuple[Connection, ...] = ()
    conv: ConvShape | None = None
    frac_event: int = 0
    learns: bool = True
    signal_of: int | None = None
    filter_leak: tuple[str, int] = NO_LEAK
    attached: int | None = None
    out_map: MapSize | None = None
    scale: float = 1.0
    gain: float = 0.0
    fires_above: bool = False
    current_leak: tuple[str, int] = NO_LEAK

    @property
    def has_current(self) -> bool:
        """Whether it has a synaptic current."""
        return self.current_leak != NO_LEAK

    @property
    def rate_boost(self) -> int:
        """s - s[l]: the rate of folded weights is f^2 times as large, to the nearest power of two."""
        return math.floor(2.0 * math.log2(self.scale) + 0.5)

    @property
    def standardised_std(self) -> float:
        """Standard deviation g / sqrt(K) of standardised weights, K the rows of weights."""
        return self.gain / math.sqrt(self.n_weight_rows)

    @property
    def n_weights(self) -> int:
        """Parameters: weights, and the bias if it has one."""
        return (self.n_weight_rows + (self.n_bias_rows if self.bias else 0)) * self.columns

    def connections(self, index: int) -> tuple[Connection, ...]:
        """Its connections, being layer `index`."""
        return self.inputs or (flat(index - 1, self.n_in),)


def leak_factor(leak: tuple[str, int]) -> float:
    """Real lambda of a leak: 1 - 2^-k, alpha / 65536, or 0 for the memoryless readout."""
    kind, value = leak
    if kind == LEAK_SHIFT:
        return 1.0 - 2.0**-value
    return value / 65536.0 if kind == LEAK_CONSTANT else 0.0


def sensor_map(sensor_size: tuple[int, int, int] | list[int]) -> MapSize:
    """The map of the input of a sensor of (width, height, polarities): channels, height, width."""
    width, height, polarities = sensor_size
    return polarities, height, width


def layer_shapes(
    experiment: Experiment, n_inputs: int, n_classes: int, input_map: MapSize | None = None
) -> tuple[LayerShape, ...]:
    """Return the layers with weights first to last; `input_map` is that of the task, if it is loaded.

    Raises:
        UserError: if the layers do not fit each other or the input, naming network.layers.<index>.
    """
    building = _Building(experiment, n_classes, _input_stream(experiment, n_inputs, input_map))
    for index, layer in enumerate(experiment.network.layers):
        with _named(f"network.layers.{index} ({layer.kind})"):
            building.add(layer)
    return tuple(building.shapes)


def uses_map(experiment: Experiment) -> bool:
    """Whether the shapes of the layers depend on the map of the input."""
    return any(not isinstance(layer, DenseLayer | ReadoutLayer) for layer in experiment.network.layers)


def _input_stream(experiment: Experiment, n_inputs: int, task_map: MapSize | None) -> Stream:
    asked, sensor = experiment.network.input_shape, experiment.task.sensor_size
    is_line = task_map is not None and task_map[:2] == (1, 1)  # a list of inputs, which may be seen as any map
    if asked is not None and task_map is not None and not is_line and tuple(asked) != task_map:
        raise UserError(f"network.input_shape = {asked} is not allowed with this task; its map is {list(task_map)}")
    known = asked or task_map or (sensor_map(sensor) if sensor is not None else None)
    if known is None:
        return Stream((flat(NETWORK_INPUT, n_inputs),), has_map=False)
    channels, height, width = known
    if channels * height * width != n_inputs:
        key = "network.input_shape" if asked is not None else "task.sensor_size"
        raise UserError(
            f"{key} is a map of {channels} x {height} x {width}, {channels * height * width} addresses; the input of "
            f"the network has {n_inputs}"
        )
    return Stream((Connection(NETWORK_INPUT, channels, height, width, carries_error=False, channels_first=True),))


class _Building:
    """The layers so far, and what the next one takes its events from."""

    def __init__(self, experiment: Experiment, n_classes: int, stream: Stream) -> None:
        self.shapes: list[LayerShape] = []
        self._learning = experiment.learning
        self._n_classes = n_classes
        self._stream = stream
        self._named: dict[str, Stream] = {INPUT_NAME: stream}

    def add(self, layer: object) -> None:
        """Add the next entry of network.layers."""
        if isinstance(layer, Conv2dLayer):
            self._hidden(layer, self._conv(layer))
        elif isinstance(layer, DenseLayer):
            self._hidden(layer, self._dense(layer))
        elif isinstance(layer, ReadoutLayer):
            self.shapes.append(self._readout(layer))
        elif isinstance(layer, Add):
            self._stream = self._stream.with_events_of(self._named[layer.layer], layer.layer)
        elif isinstance(layer, SumPool | AvgPool):
            kernel = None if layer.kernel is None else pair(layer.kernel)
            self._stream = self._stream.pooled(kernel, isinstance(layer, AvgPool))
        else:  # flatten
            self._stream = replace(self._stream, has_map=False)

    def _hidden(self, layer: Conv2dLayer | DenseLayer, shape: LayerShape) -> None:
        if layer.standardise and shape.n_weight_rows < 2:
            raise UserError(
                f"standardise = true takes the variance of {shape.n_weight_rows} weights of a neuron; allowed is from 2"
            )
        source, scale = len(self.shapes), layer.spike_scale
        self.shapes.append(shape)
        if shape.out_map is None:
            self._stream = Stream((flat(source, shape.n_out),), has_map=False, scale=scale)
        else:
            self._stream = Stream((Connection(source, *shape.out_map),), scale=scale)
        if layer.name is not None:
            self._named[layer.name] = self._stream

    def _dense(self, layer: DenseLayer) -> LayerShape:
        stream, index = self._stream, len(self.shapes)
        inputs, n_in = stream.for_dense, stream.n_addresses
        if layer.recurrent:
            if stream.frac_event:
                raise UserError(
                    "recurrent = true is not allowed behind an average pool, whose events count less than its own "
                    "spikes; allowed is a sumpool"
                )
            if layer.spike_scale != stream.scale:
                raise UserError(
                    f"spike_scale = {layer.spike_scale:g} is not allowed with recurrent = true, the other events have "
                    f"scale {stream.scale:g}; allowed is {stream.scale:g}"
                )
            own = Connection(index, layer.neurons, delay=1, offset=n_in)
            inputs, n_in = (*inputs, own), n_in + layer.neurons
        return self._neurons(layer, "dense", n_in, layer.neurons, inputs)

    def _conv(self, layer: Conv2dLayer) -> LayerShape:
        self._stream.need_map()
        channels, height, width = self._stream.map_size
        conv = ConvShape(
            height, width, channels, layer.channels, *pair(layer.kernel), *pair(layer.stride), *pair(layer.padding),
            groups=layer.groups,
        )  # fmt: skip
        if channels % layer.groups or layer.channels % layer.groups:
            raise UserError(
                f"groups = {layer.groups} must divide its {channels} input and {layer.channels} output channels"
            )
        if conv.out_height < 1 or conv.out_width < 1:
            raise UserError(
                f"kernel = {layer.kernel} is larger than its input of {height} x {width} with padding = {layer.padding}"
            )
        shape = self._neurons(layer, "conv", conv.n_in, conv.n_out, self._stream.connections)
        return replace(shape, conv=conv, out_map=(conv.out_channels, conv.out_height, conv.out_width))

    def _neurons(
        self, layer: Conv2dLayer | DenseLayer, kind: str, n_in: int, n_out: int, inputs: tuple[Connection, ...]
    ) -> LayerShape:
        leak = _leak_of(layer) or (LEAK_SHIFT, DEFAULT_LEAK_SHIFT)
        current_leak = _current_leak_of(layer)
        trace_leak, filter_leak = _cascade(current_leak, self._trace_leak(inputs, leak))
        keeps = self._learning.first_layer == "trace" or any(c.source != NETWORK_INPUT for c in inputs)
        return LayerShape(
            kind, n_in, n_out, layer.bias, leak, trace_leak, keeps, layer.threshold, layer.reset,
            inputs=self._unless_default(inputs, n_in), frac_event=self._stream.frac_event,
            scale=self._stream.scale, gain=layer.gain * self._stream.scale if layer.standardise else 0.0,
            fires_above=layer.comparator == "gt", current_leak=current_leak, filter_leak=filter_leak,
        )  # fmt: skip

    def _trace_leak(self, inputs: tuple[Connection, ...], own: tuple[str, int]) -> tuple[str, int]:
        """The leak of the traces of a layer: its own, or that of the hidden layers that its events come from."""
        if self._learning.trace_leak == "post":
            return own
        sources = {c.source for c in inputs if c.source != NETWORK_INPUT}
        leaks = {self.shapes[source].leak if source < len(self.shapes) else own for source in sources} or {own}
        if len(leaks) > 1:
            raise UserError(
                "learning.trace_leak = 'pre' needs the same leak in all layers whose events come to this one; allowed "
                "with different ones is 'post'"
            )
        return leaks.pop()

    def _readout(self, layer: ReadoutLayer) -> LayerShape:
        leak, stream = _leak_of(layer), self._stream
        hidden = self.shapes[-1] if self.shapes else None
        if leak is not None:
            keeps, trace_leak = True, self._trace_leak(stream.for_dense, leak)
        else:
            # A memoryless readout has lambda = 0; the option gives its trace the leak of the last hidden layer.
            keeps = self._learning.readout_trace and hidden is not None
            trace_leak = hidden.leak if keeps and hidden is not None else NO_LEAK
        current_leak = _current_leak_of(layer)
        trace_leak, filter_leak = _cascade(current_leak, trace_leak)
        return LayerShape(
            "readout", stream.n_addresses, self._n_classes, layer.bias, leak or NO_LEAK, trace_leak, keeps, 0.0,
            "subtract", inputs=self._unless_default(stream.for_dense, stream.n_addresses),
            frac_event=stream.frac_event, scale=stream.scale, current_leak=current_leak, filter_leak=filter_leak,
        )  # fmt: skip

    def _unless_default(self, inputs: tuple[Connection, ...], n_in: int) -> tuple[Connection, ...]:
        return () if inputs == (flat(len(self.shapes) - 1, n_in),) else inputs


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _leak_of(layer: LeakyLayer) -> tuple[str, int] | None:
    return _leak(layer.leak_shift, layer.leak_constant)


def _current_leak_of(layer: LeakyLayer) -> tuple[str, int]:
    return _leak(layer.current_leak_shift, layer.current_leak_constant) or NO_LEAK


def _leak(shift: int | None, constant: int | None) -> tuple[str, int] | None:
    if constant is not None:
        return (LEAK_CONSTANT, constant)
    return (LEAK_SHIFT, shift) if shift is not None else None


def _cascade(current: tuple[str, int], membrane: tuple[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """Both leaks of a trace: events decay as the current first, then as what the current goes into."""
    return (membrane, NO_LEAK) if current == NO_LEAK else (current, membrane)


__all__ = ["Fracs", "HeadFracs", "LayerShape", "layer_shapes", "leak_factor", "sensor_map", "uses_map"]
