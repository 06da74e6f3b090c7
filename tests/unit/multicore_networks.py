"""Small networks, drawn activity and chips with a mesh: the input of the tests of ottt_mesh."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import ottt_core_bitmaps as given

from neurochip.activity import Activity, SampleTrace
from neurochip.microarch import Gates
from neurochip.microarch.multicore_slices import slice_activity
from neurochip.microarch.multicore_split import Slice, Split
from neurochip.microarch.multicore_stages import Stages
from neurochip.spec import CoreSpec
from neurochip.synthetic import Assumed, activity_of_drawing, draw_trace

SIZES = (9, 22, 13, 5)
T, N_SAMPLES = 4, 3
ASSUMED = Assumed((0.3, 0.3, 0.4), psi=0.5)
# Two slices; three slices with a partial last word; two layers that share a core.
CORES = (
    (Slice(0, 0, 12),),
    (Slice(0, 12, 22),),
    (Slice(1, 0, 4),),
    (Slice(1, 4, 8),),
    (Slice(1, 8, 13), Slice(2, 0, 5)),
)
SPLIT = Split(CORES)
LOCAL_PAIR = Split(((Slice(0, 0, 12),), (Slice(0, 12, 22),), (Slice(1, 0, 13), Slice(2, 0, 5))))
ONE_CORE = Split(((Slice(0, 0, 22), Slice(1, 0, 13), Slice(2, 0, 5)),))


@dataclass(frozen=True)
class MeshNumbers:
    columns: int = 3
    rows: int = 2
    link_bits: int = 64
    hop_cycles: int = 2
    barrier_cycles: int = 5


@dataclass(frozen=True)
class MeshChip(given.Chip):
    mesh: MeshNumbers | None = MeshNumbers()


def mesh_chip(ports: str = "1rw", words: dict[str, int] | None = None, **changes: Any) -> MeshChip:
    """A chip whose memories hold `words` (memory -> words; 1024 where none are given)."""
    memories = {
        name: dataclasses.replace(memory, words=(words or {}).get(name, memory.words), bank_words=4)
        for name, memory in given.chip_with(ports).memories.items()
    }
    return MeshChip(memories, **changes)


def spec_of(rule: str, sizes: tuple[int, ...] = SIZES, **changes: object) -> CoreSpec:
    """A network of these sizes; every layer but the readout keeps a trace where the rule has one."""
    spec = given.core_spec(rule, n_steps=T, **changes)
    kinds = [spec.layers[0]] * (len(sizes) - 2) + [spec.layers[-1]]
    layers = tuple(
        dataclasses.replace(layer, n_in=n_in, n_out=n_out)
        for layer, n_in, n_out in zip(kinds, sizes[:-1], sizes[1:], strict=True)
    )
    return dataclasses.replace(spec, layers=layers)


def drawn(spec: CoreSpec, n_samples: int = N_SAMPLES, seed: int = 1) -> tuple[Activity, SampleTrace]:
    """Activity and bitmaps of a few drawn samples, all of them recorded."""
    trace = draw_trace(ASSUMED, spec, n_samples, seed)
    return activity_of_drawing(trace, spec, given.L, given.M), trace


def stages_of(spec: CoreSpec, chip: MeshChip, gates: Gates, split: Split, trace: SampleTrace, learning: bool) -> Stages:
    """The stages of a given split, whether or not it is the one the chip would choose."""
    assert chip.mesh is not None
    slices = [
        slice_activity(part, core, trace, spec, chip, learning)
        for core, held in enumerate(split.cores)
        for part in held
    ]
    stages = Stages(spec, chip, gates, split, slices, chip.mesh)
    stages.run(learning)
    return stages
