"""Activity and bitmaps in HDF5: the groups of activity.h5 and checkpoint.h5 (docs/run-directory.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurochip.activity import FIELDS, Activity, SampleTrace


def write_subset(group: Any, subset: SampleTrace) -> None:
    """Write recorded samples, 8 bits to a byte."""
    group.create_dataset("sample_indices", data=subset.sample_indices)
    for name, bitmap in sorted(subset.bitmaps.items()):
        packed = group.create_dataset(name, data=np.packbits(bitmap, axis=-1), compression="gzip")
        packed.attrs["width"] = bitmap.shape[-1]


def read_subset(group: Any) -> SampleTrace:
    """Read recorded samples."""
    bitmaps: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if "width" in item.attrs:
            bitmaps[name] = np.unpackbits(item[()], axis=-1, count=int(item.attrs["width"])).astype(np.bool_)

    group.visititems(visit)
    return SampleTrace(group["sample_indices"][()], bitmaps)


def write_activities(group: Any, activities: list[Activity]) -> None:
    """Write activities of the same shapes and word widths, one or more."""
    group.create_dataset("totals", data=np.stack([a.totals for a in activities]), compression="gzip")
    group.create_dataset("n_samples", data=[a.n_samples for a in activities])
    group.create_dataset("n_applies", data=[a.n_applies for a in activities])
    group.create_dataset("n_standardisations", data=[a.n_standardisations for a in activities])
    first = activities[0]
    group.attrs.update(learning=first.learning, synapse_lanes=first.synapse_lanes, trace_lanes=first.trace_lanes)


def read_activities(group: Any) -> list[Activity]:
    """Read activities; ValueError if their fields are those of another version.

    Files of before 3.8 of the semantics say nothing of standardisations: there were none.
    """
    totals, n_samples, n_applies = group["totals"][()], group["n_samples"][()], group["n_applies"][()]
    if totals.shape[-1] != len(FIELDS):
        raise ValueError(f"its activity has {totals.shape[-1]} fields, not {len(FIELDS)}")
    none = np.zeros(len(totals), dtype=np.int64)
    n_standardisations = group["n_standardisations"][()] if "n_standardisations" in group else none
    return [
        Activity(
            totals=totals[index],
            n_samples=int(n_samples[index]),
            n_applies=int(n_applies[index]),
            n_standardisations=int(n_standardisations[index]),
            learning=bool(group.attrs["learning"]),
            synapse_lanes=int(group.attrs["synapse_lanes"]),
            trace_lanes=int(group.attrs["trace_lanes"]),
        )
        for index in range(len(totals))
    ]
