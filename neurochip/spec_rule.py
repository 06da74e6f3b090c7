"""Which rules a `CoreSpec` may have: combinations that docs/semantics.md, sections 3 and 4, defines."""

from __future__ import annotations

from neurochip.errors import UserError
from neurochip.spec import APPLIES, CoreSpec

MAX_STANDARDISED = 1 << 30  # K * 2^weight.bits
MAX_STANDARDISE_CONSTANT = 1 << 62


def check_rule(spec: CoreSpec) -> None:
    """Refuse combinations of credit, update and options that the semantics does not define.

    Raises:
        UserError: naming the key, the value and what is allowed.
    """
    if spec.apply_when not in APPLIES:
        raise UserError(f"apply_when = {spec.apply_when!r} is not one of {', '.join(APPLIES)}")
    if spec.credit == "none":
        return
    _check_learning(spec)
    if spec.update == "accumulate" and spec.apply_when == "window":
        _check_window(spec)
    if spec.standardise_every:
        _check_standardisation(spec)


def _check_standardisation(spec: CoreSpec) -> None:
    """Registers of semantics 3.8: K W - S1 in 31 bits, C in 62."""
    standardised = [index for index in range(len(spec.layers)) if spec.is_standardised(index)]
    if not standardised:
        raise UserError(
            f"learning.standardise_every is {spec.standardise_every}, but no layer that learns has standardise = true; "
            "allowed is 0"
        )
    for index in standardised:
        layer = spec.layers[index]
        most = MAX_STANDARDISED >> spec.weight_bits
        if not 2 <= layer.n_weight_rows <= most:
            raise UserError(
                f"standardise of layer {index} takes the mean of {layer.n_weight_rows} weights; allowed is 2 to {most} "
                f"at {spec.weight_bits} weight bits"
            )
        if layer.standardise_constant >= MAX_STANDARDISE_CONSTANT:
            raise UserError(
                f"gain = {layer.standardise_constant / MAX_STANDARDISE_CONSTANT:.3g} times what layer {index} can be "
                "standardised to; a smaller gain, spike_scale or precision.weight.frac is allowed"
            )


def _check_window(spec: CoreSpec) -> None:
    if spec.credit != "unroll":
        raise UserError("learning.update = 'window' needs temporal credit 'unroll': other rules have no windows")
    if spec.window_steps > 1 and spec.apply_every < spec.window_steps:
        raise UserError(
            f"learning.window = {spec.apply_every} is below learning.unroll = {spec.window_steps}: no gradient is "
            f"formed before a window of unroll ends; allowed is {spec.window_steps} or more"
        )


def _check_learning(spec: CoreSpec) -> None:
    if spec.update not in ("immediate", "accumulate"):
        raise UserError(f'update is "{spec.update}" with credit "{spec.credit}"; allowed: "immediate", "accumulate"')
    if (spec.update == "immediate" or spec.apply_when != "sample") and spec.batch != 1:
        raise UserError(f"learning.batch is {spec.batch}; a rule that does not apply per sample allows only 1")
    if spec.update == "immediate" and spec.momentum_shift != 0:
        raise UserError(f"learning.momentum_shift is {spec.momentum_shift}; an immediate rule has no momentum")
    if spec.credit != "trace" and any(layer.keeps_trace for layer in spec.layers):
        raise UserError(f'a layer keeps a trace with credit "{spec.credit}"; only credit "trace" has traces')
    if spec.credit != "trace" and spec.bias_trace:
        raise UserError(f'learning.bias_trace is true with credit "{spec.credit}"; only credit "trace" has traces')
    if (
        spec.credit == "unroll"
        and spec.reset_path == "exact"
        and any(layer.is_hidden and layer.reset != "subtract" for layer in spec.layers)
    ):
        raise UserError('learning.reset_path = "exact" is allowed only with reset = "subtract"')
    for name, value, lowest, highest in (
        ("unroll", spec.unroll_steps, 0, None),
        ("apply_every", spec.apply_every, 1, None),
        ("loss_start", spec.loss_start, 1, None),
        ("update_every", spec.update_every, 1, None),
        ("momentum_shift", spec.momentum_shift, 0, 15),
        ("standardise_every", spec.standardise_every, 0, None),
    ):
        if value < lowest or (highest is not None and value > highest):
            limit = "" if highest is None else f", at most {highest}"
            raise UserError(f"learning.{name} is {value}; allowed is at least {lowest}{limit}")
