"""What happened in a run of the golden core, step by step, and the gradients that it amounts to: input of the walk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from neurochip.reference.core import GoldenRun, GoldenSample
from neurochip.reference.core.arithmetic import leak, round_shift, saturate, signed_limits
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Tap

Row = list[int]


def chunks(n: int, width: int) -> list[range]:
    return [range(first, min(first + width, n)) for first in range(0, n, width)]


def input_words(layer: LayerSpec, trace_lanes: int) -> list[range]:
    """The M-words of the inputs of a layer, as ranges of addresses: those of one position and group, or of all."""
    width = layer.conv.channels // layer.conv.groups if layer.conv else layer.n_in
    blocks = range(0, layer.n_in, width)
    return [range(b + w.start, b + w.stop) for b in blocks for w in chunks(width, trace_lanes)]


@dataclass
class Moment:
    """One step of one sample, by layer.

    Attributes:
        arrivals: (input address, magnitude) of every event, in order; m: their sums.
        spikes, psi, signal: of the outputs; later: the carried error of the step after, 0 past a window.
        trace: a after the step; held: whether a or f was not 0 before it.
    """

    arrivals: list[list[tuple[int, int]]] = field(default_factory=list)
    m: list[dict[int, int]] = field(default_factory=list)
    spikes: list[Row] = field(default_factory=list)
    psi: list[Row] = field(default_factory=list)
    signal: list[Row] = field(default_factory=list)
    later: list[Row] = field(default_factory=list)
    trace: list[Row] = field(default_factory=list)
    held: list[list[bool]] = field(default_factory=list)

    def taps(self, layer: LayerSpec, address: int) -> list[Tap]:
        return list(layer.conv.taps(address)) if layer.conv else [(address, 0)]

    def n_taps(self, layer: LayerSpec, address: int) -> int:
        return len(self.taps(layer, address))


def moments_of(spec: CoreSpec, samples: Sequence[GoldenSample], run: GoldenRun, learning: bool) -> list[list[Moment]]:
    """[sample][step] of what a run observed."""
    return [
        _moments(spec, sample, {name: probes[k] for name, probes in run.probes.items() if probes}, learning)
        for k, sample in enumerate(samples)
    ]


def _moments(spec: CoreSpec, sample: GoldenSample, probes: Mapping[str, list[Row]], learning: bool) -> list[Moment]:
    found: list[Moment] = []
    filtered = [[0] * layer.n_in for layer in spec.layers]
    for t in range(spec.n_steps):
        now = Moment()
        for index, layer in enumerate(spec.layers):

            def probe(name: str, width: int, step: int = t, index: int = index) -> Row:
                steps = probes.get(f"{name}/{index}", [])
                return list(steps[step]) if 0 <= step < len(steps) and steps[step] else [0] * width

            is_head = layer.kind == "readout" and index < len(spec.layers) - 1
            idle = layer.kind == "feedback" or (is_head and not learning)
            now.arrivals.append([] if idle else _arrivals(spec, index, sample, probes, t))
            now.m.append({})
            for address, m in now.arrivals[index]:
                now.m[index][address] = now.m[index].get(address, 0) + m
            now.spikes.append(probe("spike", layer.n_out))
            now.psi.append(probe("psi", layer.n_out))
            now.signal.append(probe("signal", layer.n_out))
            in_window = (t + 1) % spec.window_steps and t + 1 < spec.n_steps
            now.later.append(probe("signal", layer.n_out, t + 1) if in_window else [0] * layer.n_out)
            now.trace.append(probe("trace", layer.n_in))
            before = probe("trace", layer.n_in, t - 1)
            now.held.append([bool(a or f) for a, f in zip(before, filtered[index], strict=True)])
            if layer.filter_leak_kind != "none":
                _filter(spec, layer, filtered[index], now.m[index])
        for index, layer in enumerate(spec.layers):
            if layer.signal_of is not None:
                now.signal[index] = now.signal[layer.signal_of]
        found.append(now)
    return found


def _filter(spec: CoreSpec, layer: LayerSpec, f: Row, m: Mapping[int, int]) -> None:
    for i, value in enumerate(f):
        added = leak(value, layer.trace_leak_kind, layer.trace_leak_value) + (m.get(i, 0) << layer.trace_shift)
        f[i] = min(added, (1 << spec.trace_bits) - 1)


def _arrivals(
    spec: CoreSpec, index: int, sample: GoldenSample, probes: Mapping[str, list[Row]], t: int
) -> list[tuple[int, int]]:
    found = []
    for c in spec.connections(index):
        if c.source < 0:
            sent = list(sample.steps[t])
        elif t - c.delay < 0:
            sent = []
        else:
            sent = [(j, 1) for j, s in enumerate(probes[f"spike/{c.source}"][t - c.delay]) if s]
        found += [(address, m) for j, m in sent if (address := c.address(j)) is not None]
    return found


class Gradients:
    """G and V of every layer, accumulated as semantics 3.6 says."""

    def __init__(self, spec: CoreSpec) -> None:
        self.spec, self.limits = spec, signed_limits(spec.gradient_bits)
        self.g: list[dict[int, Row]] = [{} for _ in spec.layers]
        self.v: list[dict[int, Row]] = [{} for _ in spec.layers]

    def add(self, index: int, sums: Mapping[int, Row]) -> None:
        shift = self.spec.gradient_shift(index)
        for row, row_sums in sums.items():
            g = self.g[index].setdefault(row, [0] * len(row_sums))
            for j, d in enumerate(row_sums):
                g[j] = saturate(g[j] + round_shift(d, shift, self.spec.error_rounding), self.limits, _Ignored(), "")

    def applied_rows(self, index: int) -> Iterator[tuple[list[bool], Row]]:
        """Per row whether G or V is not 0, and what is applied; G is 0 then."""
        columns = self.spec.layers[index].columns
        for row in sorted(set(self.g[index]) | set(self.v[index])):
            g = self.g[index].pop(row, [0] * columns)
            if not self.spec.momentum_shift:
                yield [bool(x) for x in g], g
                continue
            v = self.v[index].setdefault(row, [0] * columns)
            held = [bool(a or b) for a, b in zip(g, v, strict=True)]
            for j, x in enumerate(v):
                kept = leak(x, "shift", self.spec.momentum_shift)
                v[j] = saturate(kept + g[j], self.limits, _Ignored(), "")
            yield held, list(v)


class _Ignored(dict[str, int]):
    """Counts of saturations that nobody asks for."""

    def __missing__(self, key: str) -> int:
        return 0
