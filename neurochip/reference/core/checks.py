"""What the golden core accepts: samples that fit the specification."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.reference.core.wiring import network_inputs
from neurochip.spec import CoreSpec


@dataclass(frozen=True)
class GoldenSample:
    """One sample: per step its events (address, magnitude) in ascending address, and its class index."""

    steps: list[list[tuple[int, int]]]
    label: int


def check_sample(spec: CoreSpec, sample: GoldenSample, index: int, learn: bool) -> None:
    """Refuse a sample that does not fit: steps, ascending addresses, magnitudes, label.

    Raises:
        UserError: naming the sample, the value and what is allowed.
    """
    n_in, n_classes, top = network_inputs(spec), spec.layers[-1].n_out, (1 << spec.event_bits) - 1
    if len(sample.steps) != spec.n_steps:
        raise UserError(f"sample {index} has {len(sample.steps)} steps; the specification has {spec.n_steps}")
    for events in sample.steps:
        addresses = [address for address, _ in events]
        if addresses != sorted(set(addresses)) or any(not 0 <= address < n_in for address in addresses):
            raise UserError(f"sample {index} has addresses {addresses}; allowed are ascending, unique 0 to {n_in - 1}")
        if any(not 1 <= magnitude <= top for _, magnitude in events):
            raise UserError(f"sample {index} has an event whose magnitude is not in 1 to {top} (event.bits)")
    if learn and not 0 <= sample.label < n_classes:
        raise UserError(f"sample {index} has label {sample.label}; allowed is 0 to {n_classes - 1}")
