"""UPDATE of a convolution: tiles of M rows and L columns (docs/microarchitecture.md, section 7, Convolution)."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.microarch.ottt_core_site import Site, Work
from neurochip.microarch.shapes import ceil_div, keeps_trace, n_rows, presynaptic_bits, rate_bits
from neurochip.microarch.taps import reach
from neurochip.microarch.timing import read_latency
from neurochip.topology import ConvShape

TILE_ACCUMULATOR_BITS = 32


@dataclass(frozen=True)
class TileWork:
    """What the tiles of all steps amount to.

    Attributes:
        pairs: (input position, output position) visited in a tile, bias pairs included.
        bias_pairs: of the tiles of the bias rows.
        row_clocks: rows worked on, one a clock.
        products: p·signal formed.
        words: words of sums that go into the weights or the gradients.
    """

    pairs: int
    bias_pairs: int
    row_clocks: int
    products: int
    words: int


def update_convolution(site: Site, conv: ConvShape, work: Work) -> None:
    """Sum p·signal over the positions of a tile, then write the rows of the tile that hold something."""
    spec, chip = site.spec, site.chip
    tiles = tile_work(site, conv)
    immediate, traced = spec.update == "immediate", keeps_trace(spec, site.index)
    memory = "synapse" if immediate else "gradient"
    word = site.synapse_word if immediate else site.gradient_word
    work.add("error_read", site.signal_word, tiles.pairs)
    if traced:
        work.add("trace_read", site.trace_word, tiles.pairs - tiles.bias_pairs)
    p_bits = presynaptic_bits(spec, site.index)
    if p_bits > 1:
        work.add("mac", (p_bits, site.signal_bits, TILE_ACCUMULATOR_BITS), tiles.products)
    else:
        work.add("ac", (TILE_ACCUMULATOR_BITS,), tiles.products)
    work.add(f"{memory}_read", word, tiles.words)
    work.add(f"{memory}_write", word, tiles.words)
    _write_operations(site, tiles.words * chip.lanes, work)
    _clocks(site, conv, tiles, work)


def tile_work(site: Site, conv: ConvShape) -> TileWork:
    """Pairs, row clocks, products and words for the gates of the site; one gate that is off leaves none on."""
    seen, steps, bias = site.seen, site.visited_steps, int(site.layer.bias)
    if site.gates.zero_trace and site.gates.zero_error:
        bias_pairs = bias * seen["signal_words"]
        return TileWork(
            seen["update_tiles"] + bias_pairs,
            bias_pairs,
            seen["update_words"],
            seen["update_products"],
            seen["weight_words"],
        )
    positions_reached = int(reach(conv).sum())  # summed over input positions
    per_group = conv.channels // conv.groups
    word_taps = positions_reached * conv.groups * ceil_div(per_group, site.chip.trace_lanes)
    taps = positions_reached * conv.channels + bias * conv.n_blocks
    bias_pairs = steps * bias * conv.n_blocks * site.words
    return TileWork(
        steps * word_taps * site.words + bias_pairs,
        bias_pairs,
        steps * taps * site.words,
        steps * taps * conv.columns,
        steps * n_rows(site.layer) * site.words,
    )


def _write_operations(site: Site, columns: int, work: Work) -> None:
    """What is done with the sums D of the words that are written, all L columns of them."""
    spec = site.spec
    if spec.update == "immediate":
        work.add("mul", (rate_bits(spec), TILE_ACCUMULATOR_BITS), columns)
        work.add("shift", (rate_bits(spec) + TILE_ACCUMULATOR_BITS,), columns)
        work.add_random_advances(site, site.seen["random_advances"])
        return
    work.add("add", (spec.gradient_bits,), columns)
    if spec.gradient_shift(site.index) > 0:
        work.add("shift", (TILE_ACCUMULATOR_BITS,), columns)


def _clocks(site: Site, conv: ConvShape, tiles: TileWork, work: Work) -> None:
    """Per tile the windows of its pairs, its rows, the pipeline behind them, and its read-modify-writes."""
    chip, bias = site.chip, int(site.layer.bias)
    words_of_group = ceil_div(conv.channels // conv.groups, chip.trace_lanes)
    n_tiles = conv.groups * (words_of_group * conv.kernel_height * conv.kernel_width + bias) * site.words
    read = ("error", "trace") if keeps_trace(site.spec, site.index) else ("error",)
    summed = max(read_latency(chip, memory) for memory in read) + chip.pipeline_latency_cycles
    slots = site.stream(("synapse" if site.spec.update == "immediate" else "gradient",))
    tile_steps = site.visited_steps * n_tiles
    work.cycles = tiles.row_clocks + tiles.words
    work.stall("port", tiles.words * (slots.ii - 1))
    work.stall("scan", tile_steps * ceil_div(conv.n_positions, chip.scan_width))
    work.stall("latency", tile_steps * (summed + slots.drain))
