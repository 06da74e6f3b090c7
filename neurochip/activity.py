"""Activity: what happened in the core, without prices and without cycles (docs/semantics.md, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neurochip.clocked import Clocked

# Order is the order of the last axis of `Activity.totals`; names and meanings: semantics section 5.
FIELDS: tuple[str, ...] = (
    "events",
    "graded_events",
    "deliver_taps",
    "spikes",
    "psi_nonzero",
    "trace_words",
    "trace_nonzero",
    "signal_nonzero",
    "signal_words",
    "signal_steps",
    "all_tap_words",
    "all_tap_products",
    "psi_rows",
    "psi_taps",
    "error_rows",
    "error_words",
    "error_products",
    "presynaptic_rows",
    "presynaptic_taps",
    "update_rows",
    "update_tiles",
    "update_words",
    "update_products",
    "weight_words",
    "random_advances",
    "sat_membrane",
    "sat_readout",
    "sat_trace",
    "sat_error",
    "sat_delta",
    "sat_gradient",
    "sat_weight",
    "underflow_error",
)
N_FIELDS = len(FIELDS)
FIELD_INDEX: Mapping[str, int] = {name: i for i, name in enumerate(FIELDS)}
SATURATION_FIELDS: tuple[str, ...] = tuple(name for name in FIELDS if name.startswith("sat_"))


@dataclass(frozen=True)
class Activity:
    """Totals of one pass over `n_samples` samples.

    Attributes:
        totals: int64 [n_steps + 1, n_layers, N_FIELDS]; row n_steps holds the applies of accumulated gradients.
        n_samples: samples summed over.
        n_applies: how often accumulated gradients were applied.
        learning: whether learning was on.
        synapse_lanes, trace_lanes: declared word widths L and M, in columns.
        n_standardisations: how often the weights were standardised (semantics 3.8).
    """

    totals: NDArray[np.int64]
    n_samples: int
    n_applies: int
    learning: bool
    synapse_lanes: int
    trace_lanes: int
    n_standardisations: int = 0

    @property
    def n_steps(self) -> int:
        return int(self.totals.shape[0]) - 1

    @property
    def n_layers(self) -> int:
        return int(self.totals.shape[1])

    def per_layer(self, name: str) -> list[int]:
        """Sum of one field over all steps (applies excluded), per layer."""
        return [int(v) for v in self.totals[:-1, :, FIELD_INDEX[name]].sum(axis=0)]

    def applied(self, name: str) -> list[int]:
        """One field of the applies, per layer."""
        return [int(v) for v in self.totals[-1, :, FIELD_INDEX[name]]]

    def total(self, name: str) -> int:
        """Sum of one field over steps, applies and layers."""
        return int(self.totals[:, :, FIELD_INDEX[name]].sum())

    def plus(self, other: Activity) -> Activity:
        """Activity of two passes with the same shapes and word widths, one after the other."""
        return replace(
            self,
            totals=self.totals + other.totals,
            n_samples=self.n_samples + other.n_samples,
            n_applies=self.n_applies + other.n_applies,
            n_standardisations=self.n_standardisations + other.n_standardisations,
        )


@dataclass(frozen=True)
class PassResult:
    """What an integer core returns from a pass over samples.

    Attributes:
        predictions: class index per sample, in the order given.
        readout_sums: z summed over the steps, [samples, classes].
        activity: what happened, summed over the samples.
        probes: intermediates of chosen samples, name -> [samples, steps, width].
        clocked: what the tick model counted, if it ran beside.
    """

    predictions: NDArray[np.int32]
    readout_sums: NDArray[np.int64]
    activity: Activity
    probes: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    clocked: Clocked | None = None


@dataclass(frozen=True)
class SampleTrace:
    """Ordered events and bitmaps of a declared subset of samples, for replay on another chip.

    Attributes:
        sample_indices: indices of the samples in their split.
        bitmaps: name -> bool array [n_subset, n_steps, width]: "event/0", whose set bits are the addresses of the
            network's input events, "event/<l + 1>", the spikes of hidden layer l; "graded/0", input events with m != 1;
            with learning "trace/<l>" and "psi/<l>", not 0 after the step, "signal/<l>", and, with a trace gate,
            "presynaptic/<l>", input addresses with p != 0.
    """

    sample_indices: NDArray[np.int64]
    bitmaps: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
