"""UPDATE of a convolution: sums over positions in accumulators, tile by tile, then the rows of the tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from neurochip.reference.clock import lanes
from neurochip.reference.clock.machine import Machine, Pipeline, Sequencer, Step
from neurochip.reference.clock.memory import Word
from neurochip.reference.clock.network import bias_taps
from neurochip.reference.clock.step_buffer import windows

Pair = tuple[int, int]  # trace word (-1 for the bias), word of the signal
Product = tuple[int, int, Word]  # row, p, signals


@dataclass(frozen=True)
class Tile:
    """Accumulators of the channels of one M-word at one kernel offset, or of a bias row, for one word of columns.

    Attributes:
        group, word: of the convolution, and word of a row.
        channels: of the group; empty for the bias.
        rows: of the weights, one per channel, or the bias row.
        offset: (k_y, k_x), not used by the bias.
    """

    group: int
    word: int
    channels: range
    rows: tuple[int, ...]
    offset: tuple[int, int]


class UpdateTiles(Sequencer[tuple[int, int, Word, Word]]):
    """Every tile: its pairs of positions, a clock per row with p != 0; its pipeline runs empty; its words are written.

    `pipeline` is that of the read-modify-writes, `_lanes` the one that the products go through.
    """

    def __init__(self, machine: Machine, layer: int) -> None:
        spec, layout = machine.spec, machine.layout
        self._layer, self._spec = layer, spec.layers[layer]
        conv = self._spec.conv
        if conv is None:
            raise TypeError(f"layer {layer} is no convolution")
        self._conv = conv
        self._accumulates = spec.update == "accumulate"
        self._region = layout.region("gradient" if self._accumulates else "synapse", layer)
        self._signal, self._trace = layout.region("signal", layer), layout.find("trace", layer)
        super().__init__(machine, "update", machine.latency(self._region.space), self._region.space.interval)
        beside = [self._signal.space] + ([self._trace.space] if self._trace is not None else [])
        rho = max(space.read_latency_cycles for space in beside)
        self._lanes: Pipeline[Product] = Pipeline(rho + machine.chip.pipeline_latency_cycles)
        self._everything = not (machine.gates.zero_trace and machine.gates.zero_error)
        self._sums: dict[int, Word] = {}  # row -> accumulators of the tile
        self._signals: Word = []  # of the pair under way
        self._factors: Word = []

    def program(self) -> Iterator[Step]:
        """Nothing without a signal; else tile after tile."""
        if self.machine.gates.zero_error and not any(self.machine.buffer.signal_words[self._layer]):
            return
        random = self.machine.random[self._layer]
        if not self._accumulates and self.machine.spec.weight_rounding == "stochastic":
            random.start_tiles(self._words_to_draw_for())
        for tile in self._tiles():
            yield from self._sum_up(tile)
            yield self.wait(self._lanes.latency)
            for row in tile.rows:
                if self._everything or any(self._sums[row]):
                    yield self.work(partial(self._begin, row, tile.word))
            yield from self.drain()

    def _tiles(self) -> Iterator[Tile]:
        """Groups, M-words, kernel offsets, words of columns; then the bias rows."""
        conv, width = self._conv, self.machine.chip.trace_lanes
        per_group, words = conv.channels // conv.groups, range(self._region.row_words)
        for group in range(conv.groups):
            for first in range(0, per_group, width):
                channels = range(group * per_group + first, group * per_group + min(per_group, first + width))
                for k_y in range(conv.kernel_height):
                    for k_x in range(conv.kernel_width):
                        rows = tuple((c * conv.kernel_height + k_y) * conv.kernel_width + k_x for c in channels)
                        yield from (Tile(group, word, channels, rows, (k_y, k_x)) for word in words)
        for group in range(conv.groups if self._spec.bias else 0):
            yield from (Tile(group, word, range(0), (conv.n_rows + group,), (0, 0)) for word in words)

    def _sum_up(self, tile: Tile) -> Iterator[Step]:
        """Window by window of the bitmap of pairs, in the order of the output positions."""
        columns = self._region.columns(tile.word)
        self._sums = {row: [0] * (columns.stop - columns.start) for row in tile.rows}
        bitmap = self.machine.buffer.signal_words[self._layer]
        for window in windows(self._conv.n_positions, self.machine.chip.scan_width):
            yield self.scan(clocks=1)
            for position in window:
                block = position * self._conv.groups + tile.group
                signal_word = block * self._signal.row_words + tile.word
                if bitmap[signal_word] or self._everything:
                    yield from self._pair(tile, position, signal_word)

    def _pair(self, tile: Tile, position: int, signal_word: int) -> Iterator[Step]:
        """One clock for every row with p != 0; in the first of them the words of the pair are read."""
        if not tile.channels:
            self._factors = [self.machine.buffer.bias_factors[self._layer]]
            yield self.work(partial(self._add, tile.rows[0], 0, (-1, signal_word)), clocks=1)
            return
        addresses = self._addresses(tile, position)
        if addresses is None:
            return
        trace_word = -1 if self._trace is None else self._trace.word_of(addresses[0])
        pair: Pair | None = (trace_word, signal_word)
        self._factors = [self._event(address) for address in addresses]
        for column, address in enumerate(addresses):
            if self._everything or self._is_active(address):
                yield self.work(partial(self._add, tile.rows[column], column, pair), clocks=1)
                pair = None

    def _addresses(self, tile: Tile, position: int) -> list[int] | None:
        """Input addresses of the channels at the position that the offset joins with this output position."""
        conv = self._conv
        out_y, out_x = divmod(position, conv.out_width)
        y = out_y * conv.stride_y - conv.padding_y + tile.offset[0]
        x = out_x * conv.stride_x - conv.padding_x + tile.offset[1]
        if not (0 <= y < conv.height and 0 <= x < conv.width):
            return None
        return [(y * conv.width + x) * conv.channels + c for c in tile.channels]

    def _is_active(self, address: int) -> bool:
        buffer = self.machine.buffer
        active = buffer.active_traces if self._trace is not None else buffer.magnitudes
        return bool(active[self._layer][address])

    def _event(self, address: int) -> int:
        """p of rules without a trace; of others whether it counts at all."""
        buffer = self.machine.buffer
        if self._trace is None:
            return buffer.magnitudes[self._layer][address]
        return int(buffer.active_traces[self._layer][address])

    def _add(self, row: int, column: int, pair: Pair | None, now: int) -> None:
        """p times the signal word on its way to the accumulators of a row."""
        if pair is not None:
            self._read(pair, now)
        self._lanes.enter(now, (row, self._factors[column], self._signals))

    def _read(self, pair: Pair, now: int) -> None:
        trace_word, signal_word = pair
        signal, trace = self._signal, self._trace
        self._signals = signal.first(signal.space.read(now, signal.base + signal_word, signal.tag("update")))
        if trace is not None and trace_word >= 0:
            traces = trace.space.read(now, trace.base + trace_word, trace.tag("update"))
            self._factors = [a * active for a, active in zip(traces, self._factors, strict=True)]

    def tick(self, now: int) -> None:
        """One clock: a product comes to its accumulators, then the program goes on."""
        product = self._lanes.leave(now)
        if product is not None:
            row, p, signals = product
            self._sums[row] = [d + p * g for d, g in zip(self._sums[row], signals, strict=True)]
        super().tick(now)

    def _begin(self, row: int, word: int, now: int) -> None:
        region = self._region
        numbers = region.space.read(now, region.base + row * region.row_words + word, region.tag("update"))
        self.pipeline.enter(now, (row, word, numbers, self._sums[row]))

    def finish(self, now: int, operands: tuple[int, int, Word, Word]) -> None:
        """Write the new word."""
        row, word, numbers, sums = operands
        region, machine, spec = self._region, self.machine, self.machine.spec
        address = row * region.row_words + word
        if self._accumulates:
            written = lanes.accumulate(spec, self._layer, numbers, sums)
            machine.buffer.valid_gradients[self._layer][address] = any(written)
        else:
            products = [-spec.rate_multiplier * d for d in sums]
            shift, first = spec.update_shift(self._layer), word * region.lanes
            written = lanes.write_weights(spec, numbers, products, shift, machine.random[self._layer], row, first)
        region.space.write(now, region.base + address, written, region.tag("update"))

    def _words_to_draw_for(self) -> list[tuple[int, int]]:
        """(row, R-word) with some D != 0, rows ascending, as semantics section 2 wants the registers to advance.

        Tiles are worked in another order, so no unit could know these before all tiles are summed: looked at from
        outside, in no clock.
        """
        spec, o = self._spec, self._spec.columns
        signals = self._signal.flat()
        traces = self._trace.flat() if self._trace is not None else [1] * spec.n_in
        sums: dict[int, Word] = {}
        factors = [(self._event(i) * traces[i], self.machine.taps(self._layer, i)) for i in range(spec.n_in)]
        if spec.bias:
            factors.append((self.machine.buffer.bias_factors[self._layer], bias_taps(spec)))
        for p, taps in factors:
            for row, block in taps if p else ():
                held = sums.setdefault(row, [0] * o)
                sums[row] = [d + p * g for d, g in zip(held, signals[block * o : (block + 1) * o], strict=True)]
        lanes_of_layer = self.machine.spec.rng_lanes
        return [
            (row, first // lanes_of_layer)
            for row in sorted(sums)
            for first in range(0, o, lanes_of_layer)
            if any(sums[row][first : first + lanes_of_layer])
        ]

    def check_empty(self) -> None:
        """Raise if something is still under way."""
        super().check_empty()
        self._lanes.check_empty()
