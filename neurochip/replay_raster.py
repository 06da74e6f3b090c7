"""Events, spikes, potentials and readout sums of a replayed sample, step by step: the records of a raster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.listener import Listener
from neurochip.replay import Record, Replay, open_run, replay
from neurochip.replay_choice import chosen, parse_neurons


def raster_records(
    directory: Path,
    chip: str | None = None,
    sample: int | None = None,
    *,
    split: str | None = None,
    rule: str | None = None,
    neurons: str | None = None,
    listener: Listener | None = None,
) -> Record:
    """Return what a raster shows of one sample: what `Replay.about` says, and

    * `inputs`: `n` addresses, and `events` as [step, address];
    * `hidden`: per hidden layer `layer`, `name`, `n`, `spikes` as [step, neuron], `threshold`, and `potentials`: of the
      neurons chosen `index` and `values`, one per step, before the reset, as real numbers;
    * `readout`: of every class `name` and `sums`, the sum of z up to each step, as real numbers.

    Steps count from 0. Arguments and errors as of `neurochip.replay.open_run` and `replay`; `neurons` as for waveforms.
    No tick model is needed, so any chip will do.
    """
    run = open_run(directory, chip, rule)
    asked = None if neurons is None else parse_neurons(neurons, run.spec)
    one = replay(run, sample, listener, split=split)
    picked, _ = chosen(one, asked, [])
    events = one.trace.bitmaps["event/0"][0]
    layers = [index for index, layer in enumerate(one.spec.layers) if layer.is_hidden]
    hidden = [_hidden(one, layer, [index for at, index in picked if at == layer]) for layer in layers]
    return one.about() | {
        "inputs": {"n": events.shape[1], "events": _pairs(events)},
        "hidden": hidden,
        "readout": _readout(one),
    }


def _hidden(one: Replay, layer: int, neurons: list[int]) -> Record:
    shape, probes = one.spec.layers[layer], one.result.probes
    unit = 2.0**-shape.frac_potential
    potentials = probes[f"potential/{layer}"][0]
    return {
        "layer": layer,
        "name": one.layer_names()[layer],
        "n": shape.n_out,
        "spikes": _pairs(probes[f"spike/{layer}"][0]),
        "threshold": shape.threshold_q * unit,
        "potentials": [{"index": index, "values": (potentials[:, index] * unit).tolist()} for index in neurons],
    }


def _readout(one: Replay) -> list[Record]:
    """Σz of semantics 3.2: steps before the first with a loss add nothing."""
    spec, last = one.spec, len(one.spec.layers) - 1
    counts = np.arange(spec.n_steps) + 1 >= spec.loss_start
    z = one.result.probes[f"potential/{last}"][0].astype(np.int64) * counts[:, None]
    sums = z.cumsum(axis=0) * 2.0 ** -spec.layers[last].frac_potential
    return [{"name": str(name), "sums": sums[:, c].tolist()} for c, name in enumerate(one.learned.classes)]


def _pairs(bits: NDArray[Any]) -> list[list[int]]:
    """[step, index] of what is not 0."""
    found: list[list[int]] = np.argwhere(bits).tolist()
    return found


__all__ = ["raster_records"]
