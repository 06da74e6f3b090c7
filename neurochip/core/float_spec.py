"""The real-valued specification of the float twin: docs/semantics.md without its formats."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError

SURROGATES = ("sigmoid", "triangle", "rectangle")
CREDITS = ("none", "trace", "spike", "unroll")
UPDATES = ("none", "immediate", "accumulate")
RESETS = ("subtract", "zero")
RESET_PATHS = ("detached", "exact")


@dataclass(frozen=True)
class FloatLayerSpec:
    """One plastic layer in real numbers (semantics sections 3.1 to 3.3).

    Attributes:
        kind: "dense" (LIF neurons) or "readout" (memoryless, the last layer).
        n_in, n_out: shape; the weights are (n_in + 1, n_out), the last row being the bias.
        bias: whether the bias row is used and learned.
        leak: lambda of the membrane, 0 to 1 (unused by the readout).
        threshold: theta (unused by the readout).
        reset: "subtract" or "zero".
        keeps_trace: whether the presynaptic factor p is the trace (else the event itself).
        trace_leak: lambda of the trace of this layer's inputs.
        trace_gate: rows whose trace is below it have p = 0.
    """

    kind: str
    n_in: int
    n_out: int
    bias: bool = True
    leak: float = 0.5
    threshold: float = 1.0
    reset: str = "subtract"
    keeps_trace: bool = False
    trace_leak: float = 0.5
    trace_gate: float = 0.0


@dataclass(frozen=True)
class FloatSpec:
    """A network and its learning rule in real numbers.

    Attributes:
        layers: first to last; the last one is the readout.
        n_steps: T.
        surrogate: one of SURROGATES.
        credit: "none" | "trace" | "spike" | "unroll".
        update: "none" (signals are computed, weights stay) | "immediate" | "accumulate".
        batch: samples per apply of accumulated gradients.
        rate: eta per step, the realised m * 2**-s, already divided by T * batch.
        mse_share: alpha of the loss (1 - alpha) CE + alpha MSE.
        reset_path: "detached" (the amount a reset removes is a constant) or "exact"; used by "unroll" only.

    Raises:
        UserError: for a value that is not allowed or layers that do not fit each other.
    """

    layers: tuple[FloatLayerSpec, ...]
    n_steps: int
    surrogate: str = "sigmoid"
    credit: str = "none"
    update: str = "none"
    batch: int = 1
    rate: float = 0.0
    mse_share: float = 0.0
    reset_path: str = "detached"

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("surrogate", self.surrogate, SURROGATES),
            ("credit", self.credit, CREDITS),
            ("update", self.update, UPDATES),
            ("reset_path", self.reset_path, RESET_PATHS),
        ):
            if value not in allowed:
                raise UserError(f"{key} = {value!r} is not one of {', '.join(allowed)}")
        if self.n_steps < 1 or self.batch < 1:
            raise UserError(f"n_steps = {self.n_steps} and batch = {self.batch} must be at least 1")
        if self.update != "none" and self.credit == "none":
            raise UserError(f"update = {self.update!r} needs a credit other than 'none'")
        if self.update == "immediate" and self.batch != 1:
            raise UserError(f"batch = {self.batch} must be 1 with update = 'immediate'")
        self._check_layers()

    def _check_layers(self) -> None:
        if not self.layers:
            raise UserError("layers is empty; the last layer must be a readout")
        for index, layer in enumerate(self.layers):
            expected = "readout" if index == len(self.layers) - 1 else "dense"
            if layer.kind != expected:
                raise UserError(f"layer {index} is {layer.kind!r}; it must be {expected!r}")
            if layer.reset not in RESETS:
                raise UserError(f"reset = {layer.reset!r} of layer {index} is not one of {', '.join(RESETS)}")
            if index and layer.n_in != self.layers[index - 1].n_out:
                fan = self.layers[index - 1].n_out
                raise UserError(f"layer {index} has {layer.n_in} inputs; layer {index - 1} has {fan} outputs")
            if not (0.0 <= layer.leak <= 1.0 and 0.0 <= layer.trace_leak <= 1.0):
                raise UserError(f"leak = {layer.leak} and trace_leak = {layer.trace_leak} must be 0 to 1")
