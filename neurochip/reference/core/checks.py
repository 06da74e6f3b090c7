"""What the golden core accepts: rules that docs/semantics.md defines, and samples that fit the specification."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.spec import CoreSpec


@dataclass(frozen=True)
class GoldenSample:
    """One sample: per step its events (address, magnitude) in ascending address, and its class index."""

    steps: list[list[tuple[int, int]]]
    label: int


def check_rule(spec: CoreSpec) -> None:
    """Refuse combinations that docs/semantics.md does not define.

    Raises:
        UserError: naming the key, the value and what is allowed.
    """
    kinds = [layer.kind for layer in spec.layers]
    if kinds != ["dense"] * (len(kinds) - 1) + ["readout"]:
        raise UserError(f'layer kinds are {kinds}; allowed is any number of "dense", then one "readout"')
    spec.check()
    if spec.credit == "none":
        return
    if spec.update not in ("immediate", "accumulate"):
        raise UserError(f'update is "{spec.update}" with credit "{spec.credit}"; allowed: "immediate", "accumulate"')
    if spec.update == "immediate" and spec.batch != 1:
        raise UserError(f"learning.batch is {spec.batch}; an immediate rule allows only 1")
    if spec.credit != "trace" and any(layer.keeps_trace for layer in spec.layers):
        raise UserError(f'a layer keeps a trace with credit "{spec.credit}"; only credit "trace" has traces')
    if spec.reset_path == "exact" and any(layer.reset != "subtract" for layer in spec.layers[:-1]):
        raise UserError('learning.reset_path = "exact" is allowed only with reset = "subtract"')


def check_sample(spec: CoreSpec, sample: GoldenSample, index: int, learn: bool) -> None:
    """Refuse a sample that does not fit: steps, ascending addresses, magnitudes, label.

    Raises:
        UserError: naming the sample, the value and what is allowed.
    """
    n_in, n_classes, top = spec.layers[0].n_in, spec.layers[-1].n_out, (1 << spec.event_bits) - 1
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
