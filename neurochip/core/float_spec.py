"""The real-valued specification of the float twin: docs/semantics.md without its formats."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.core.float_formats import Quantisers
from neurochip.errors import UserError
from neurochip.topology import Connection, ConvShape, LayerGeometry

KINDS = ("dense", "conv", "readout", "feedback")
APPLIES = ("sample", "deferred", "window")
SURROGATES = ("sigmoid", "triangle", "rectangle")
CREDITS = ("none", "trace", "spike", "unroll")
UPDATES = ("none", "immediate", "accumulate")
RESETS = ("subtract", "zero")
RESET_PATHS = ("detached", "exact")
NETWORK_INPUT = -1  # source of a connection from the input of the network


@dataclass(frozen=True)
class FloatLayerSpec(LayerGeometry):
    """One layer in real numbers (semantics sections 3 and 4); its weights are [n_weight_rows + n_bias_rows, columns].

    Attributes:
        kind: one of KINDS.
        n_in, n_out: input addresses and outputs.
        bias: whether the bias rows, the last ones, are used and learned.
        leak: lambda of the membrane or of z, 0 to 1; None: 1/2, and 0 (memoryless) for a readout.
        threshold: theta (hidden layers).
        reset: "subtract" or "zero".
        keeps_trace: whether the presynaptic factor p is the trace (else the event itself).
        trace_leak: lambda of the trace of this layer's inputs.
        trace_gate: addresses whose trace is below it have p = 0.
        event_scale: value of an input event of magnitude 1, 2**-frac_m: 1, or 1 / window behind an average pool.
        inputs: connections in the order of their delivery; empty: all of the layer before.
        conv: shape of a "conv" layer.
        learns: False: fixed weights (feedback, frozen heads).
        signal_of: of a "feedback" layer, the readout whose signal it carries.
        trace_filter: lambda of the second leak of the trace; None: no filter.
        gain: g of standardised weights (semantics 3.8); 0: they are not standardised.
        rate_scale: factor of the rate of this layer, 2**(s - s[l]).
        bias_trace: whether p of the bias rows is the trace of an event in every step, where inputs have a trace.
        current_leak: lambda of the synaptic current; None: events go straight into u or z.
    """

    kind: str
    n_in: int
    n_out: int
    bias: bool = True
    leak: float | None = None
    threshold: float = 1.0
    reset: str = "subtract"
    keeps_trace: bool = False
    trace_leak: float = 0.5
    trace_gate: float = 0.0
    event_scale: float = 1.0
    inputs: tuple[Connection, ...] = ()
    conv: ConvShape | None = None
    learns: bool = True
    signal_of: int | None = None
    trace_filter: float | None = None
    gain: float = 0.0
    rate_scale: float = 1.0
    bias_trace: bool = False
    current_leak: float | None = None

    @property
    def state_leak(self) -> float:
        """Lambda of the membrane or of z, with its default."""
        if self.leak is None:
            return 0.5 if self.is_hidden else 0.0
        return self.leak


@dataclass(frozen=True)
class FloatSpec:
    """A network and its learning rule in real numbers.

    Attributes:
        layers: first to last; the last one is the readout.
        n_steps: T.
        surrogate: one of SURROGATES.
        credit: "none" | "trace" | "spike" | "unroll".
        update: "none" (signals are computed, weights stay) | "immediate" | "accumulate".
        batch: samples per apply of gradients that are accumulated over samples.
        rate: eta per step, the realised m * 2**-s, already divided by T * batch.
        mse_share: alpha of the loss (1 - alpha) CE + alpha MSE.
        reset_path: "detached" (the amount a reset removes is a constant) or "exact"; used by "unroll" only.
        unroll_steps: K, steps of a window of "unroll"; 0: all steps.
        apply_when: when "accumulate" applies, one of APPLIES.
        apply_every: D of "deferred", W of "window".
        loss_start, update_every: step t has a loss if t >= loss_start and t mod update_every = 0.
        momentum: beta of V = beta V + G, the velocity that is applied instead of G; 0: none.
        standardise_every: learned samples from one standardisation to the next; 0: none.
        quantisers: the signals that are quantised after their phase (semantics, section 6); None: none.

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
    unroll_steps: int = 0
    apply_when: str = "sample"
    apply_every: int = 1
    loss_start: int = 1
    update_every: int = 1
    momentum: float = 0.0
    standardise_every: int = 0
    quantisers: Quantisers | None = None

    def __post_init__(self) -> None:
        for key, value, allowed in (
            ("surrogate", self.surrogate, SURROGATES),
            ("credit", self.credit, CREDITS),
            ("update", self.update, UPDATES),
            ("reset_path", self.reset_path, RESET_PATHS),
            ("apply_when", self.apply_when, APPLIES),
        ):
            if value not in allowed:
                raise UserError(f"{key} = {value!r} is not one of {', '.join(allowed)}")
        if self.n_steps < 1 or self.batch < 1:
            raise UserError(f"n_steps = {self.n_steps} and batch = {self.batch} must be at least 1")
        if self.standardise_every < 0:
            raise UserError(f"standardise_every = {self.standardise_every} must be 0 or more")
        if self.standardise_every and self.update == "none":
            raise UserError(f"standardise_every = {self.standardise_every} needs a rule that learns; allowed is 0")
        if self.update != "none" and self.credit == "none":
            raise UserError(f"update = {self.update!r} needs a credit other than 'none'")
        if self.batch != 1 and (self.update == "immediate" or self.apply_when != "sample"):
            when = "immediate" if self.update == "immediate" else self.apply_when
            raise UserError(f"batch = {self.batch} must be 1 with update = {when!r}")
        self._check_steps()
        self._check_layers()
        self._check_quantisers()

    @property
    def window_steps(self) -> int:
        """Steps of a window of "unroll": min(K, T)."""
        return min(self.unroll_steps or self.n_steps, self.n_steps)

    @property
    def n_inputs(self) -> int:
        """Addresses of the input of the network."""
        return next(
            connection.n_source
            for index in range(len(self.layers))
            for connection in self.connections(index)
            if connection.source == NETWORK_INPUT
        )

    def has_loss(self, step: int) -> bool:
        """Whether step t = 1 ... T has a loss."""
        return step >= self.loss_start and step % self.update_every == 0

    def connections(self, layer: int) -> tuple[Connection, ...]:
        """Connections of a layer in the order in which their events are delivered."""
        spec = self.layers[layer]
        return spec.inputs or (Connection(source=layer - 1, channels=spec.n_in, carries_error=layer > 0),)

    def _check_steps(self) -> None:
        for key in ("apply_every", "loss_start", "update_every"):
            if getattr(self, key) < 1:
                raise UserError(f"{key} = {getattr(self, key)} must be at least 1")
        if self.unroll_steps < 0 or not 0.0 <= self.momentum < 1.0:
            raise UserError(f"unroll_steps = {self.unroll_steps} must be 0 or more, momentum = {self.momentum} 0 to 1")
        if self.update == "accumulate" and self.apply_when == "window":
            if self.credit != "unroll":
                raise UserError("apply_when = 'window' needs credit = 'unroll'")
            if self.apply_every < self.window_steps > 1:
                raise UserError(f"apply_every = {self.apply_every} is below the {self.window_steps} steps of a window")

    def _check_layers(self) -> None:
        if not self.layers or self.layers[-1].kind != "readout":
            raise UserError("the last layer must be a readout")
        for index, layer in enumerate(self.layers):
            if layer.kind not in KINDS or (layer.kind == "conv") != (layer.conv is not None):
                raise UserError(f"layer {index} is {layer.kind!r}; allowed are {', '.join(KINDS)}, conv with a shape")
            if layer.reset not in RESETS:
                raise UserError(f"reset = {layer.reset!r} of layer {index} is not one of {', '.join(RESETS)}")
            second = layer.trace_filter or 0.0, layer.current_leak or 0.0
            if not all(0.0 <= leak <= 1.0 for leak in (layer.state_leak, layer.trace_leak, *second)):
                raise UserError(f"leak, trace_leak, trace_filter and current_leak of layer {index} must be 0 to 1")
            memoryless = layer.kind == "feedback" or (layer.kind == "readout" and layer.state_leak == 0.0)
            if layer.current_leak is not None and memoryless:
                raise UserError(f"layer {index} has a synaptic current; allowed is that of neurons and leaky readouts")
            if layer.conv is not None and (layer.conv.n_in, layer.conv.n_out) != (layer.n_in, layer.n_out):
                raise UserError(f"layer {index} is {layer.n_in} x {layer.n_out}, its map is not")
            if layer.kind == "readout" and layer.n_out != self.layers[-1].n_out:
                raise UserError(f"head {index} has {layer.n_out} outputs; the readout has {self.layers[-1].n_out}")
            if layer.kind == "feedback":
                self._check_feedback(index, layer)
            for connection in self.connections(index):
                self._check_connection(index, connection)

    def _check_quantisers(self) -> None:
        """The formats must be of this network and this rule: kernels read them by layer, column and step."""
        if self.quantisers is None:
            return
        formats = self.quantisers.formats
        formats.check()
        for key in ("n_steps", "credit", "update", "reset_path"):
            found, own = getattr(formats, key), getattr(self, key)
            if found != own:
                raise UserError(f"the formats of quantisers have {key} = {found!r}; the rule has {own!r}")
        shapes = [[(one.kind, one.n_in, one.n_out) for one in spec.layers] for spec in (formats, self)]
        if shapes[0] != shapes[1]:
            raise UserError(f"the formats of quantisers are of the layers {shapes[0]}; the network has {shapes[1]}")

    def _check_feedback(self, index: int, layer: FloatLayerSpec) -> None:
        named = layer.signal_of if layer.signal_of is not None else NETWORK_INPUT
        if not index < named < len(self.layers) or self.layers[named].kind != "readout":
            raise UserError(f"layer {index} carries the signal of layer {layer.signal_of}, which is no later readout")
        if layer.n_out != self.layers[named].n_out:
            raise UserError(f"layer {index} has {layer.n_out} outputs; layer {named} has {self.layers[named].n_out}")

    def _check_connection(self, index: int, connection: Connection) -> None:
        source, delay = connection.source, connection.delay
        recurrent = delay == 1 and source == index and self.layers[index].is_hidden
        earlier = delay == 0 and 0 <= source < index and self.layers[source].is_hidden
        if not (recurrent or earlier or (delay == 0 and source == NETWORK_INPUT)):
            raise UserError(f"layer {index} takes events from layer {source} with delay {delay}, which cannot be")
        given = self.n_inputs if source == NETWORK_INPUT else self.layers[source].n_out
        if connection.n_source != given:
            raise UserError(f"layer {index} has {connection.n_source} inputs; layer {source} has {given} outputs")
        if connection.n_addresses < 1 or connection.offset + connection.n_addresses > self.layers[index].n_in:
            raise UserError(f"a connection of layer {index} does not fit its {self.layers[index].n_in} inputs")
