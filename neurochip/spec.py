"""The resolved integer specification of a core: every number docs/semantics.md needs, and nothing else.

`CoreSpec` is what the golden core and the fast core are both built from. It is made by
`neurochip.network.resolve` from an experiment and a calibration, checked once (`check`), and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.topology import Connection, ConvShape, LayerGeometry

LEAK_NONE, LEAK_SHIFT, LEAK_CONSTANT = "none", "shift", "constant"
KINDS = ("dense", "conv", "readout", "feedback")
CREDITS = ("none", "trace", "spike", "unroll")
UPDATES = ("none", "immediate", "accumulate")
APPLIES = ("sample", "deferred", "window")
NETWORK_INPUT = -1  # source of a connection from the input of the network
MAX_SHIFT = 30
MAX_DELIVER_BITS = 26
MAX_READOUT_BITS = 31
MAX_WIDE_REGISTER = 2**31 - 1


@dataclass(frozen=True)
class LayerSpec(LayerGeometry):
    """One layer: its shape, neuron, formats and presynaptic factor (semantics sections 1 to 3)."""

    kind: str  # one of KINDS
    n_in: int  # input addresses
    n_out: int
    bias: bool
    leak_kind: str  # "shift" | "constant"; "none" for a memoryless readout and for feedback
    leak_value: int
    threshold_q: int  # 0 for readouts and feedback
    reset: str  # "subtract" | "zero"
    keeps_trace: bool  # whether p = a (else p = m)
    trace_leak_kind: str  # leak of the trace of this layer's inputs
    trace_leak_value: int
    frac_weight: int
    frac_potential: int  # frac_u, or frac_z for readouts; 0 for feedback
    frac_trace: int
    frac_error: int
    frac_gradient: int
    frac_event: int = 0  # frac_m
    inputs: tuple[Connection, ...] = ()  # empty: all of the layer before, as one position
    conv: ConvShape | None = None  # of kind "conv"
    learns: bool = True  # False: fixed weights (feedback, frozen heads)
    signal_of: int | None = None  # feedback: the readout whose signal it carries
    filter_leak_kind: str = LEAK_NONE  # second leak of the trace; "none": no filter
    filter_leak_value: int = 0
    standardise_constant: int = 0  # C of semantics 3.8; 0: not standardised
    rate_boost: int = 0  # s - s[l], of layers whose events are scaled
    current_leak_kind: str = LEAK_NONE  # leak of the synaptic current; "none": events go straight into u or z
    current_leak_value: int = 0

    @property
    def has_current(self) -> bool:
        """Whether events go into a synaptic current i, and i into u or z."""
        return self.current_leak_kind != LEAK_NONE

    @property
    def standardise_shift(self) -> int:
        """p of semantics 3.8, 16 + ceil(log2 K), K the rows of weights."""
        return 16 + (self.n_weight_rows - 1).bit_length()

    @property
    def frac_presynaptic(self) -> int:
        """frac_p: frac_a where p is the trace, frac_m where it is the event."""
        return self.frac_trace if self.keeps_trace else self.frac_event

    @property
    def deliver_shift(self) -> int:
        """sh."""
        return self.frac_potential - self.frac_weight - self.frac_event

    @property
    def trace_shift(self) -> int:
        """sa."""
        return self.frac_trace - self.frac_event


@dataclass(frozen=True)
class CoreSpec:
    """A network, its formats and its rule, in integers."""

    layers: tuple[LayerSpec, ...]  # last one is the readout of the network
    n_steps: int
    event_bits: int
    weight_bits: int
    weight_rounding: str  # "floor" | "nearest" | "stochastic"
    membrane_bits: int
    trace_bits: int
    trace_gate: int
    error_bits: int
    error_rounding: str  # "floor" | "nearest"
    delta_bits: int
    surrogate_bits: int
    surrogate: str  # "sigmoid" | "triangle" | "rectangle"
    gradient_bits: int
    readout_bits: int
    credit: str  # one of CREDITS
    update: str  # one of UPDATES
    batch: int
    rate_multiplier: int  # m_eta
    rate_shift: int  # s
    mse_share_q: int  # A = floor(256 * mse_share + 1/2)
    deliver: str  # "synapse" | "neuron"
    reset_path: str  # "detached" | "exact"
    rng_lanes: int
    seed: int
    synapse_lanes: int  # L, declared for activity
    trace_lanes: int  # M, declared for activity
    unroll_steps: int = 0  # K of unroll; 0: all steps
    apply_when: str = "sample"  # one of APPLIES; of accumulating rules
    apply_every: int = 1  # D of "deferred", W of "window"
    loss_start: int = 1
    update_every: int = 1
    momentum_shift: int = 0  # 0: no momentum
    bias_trace: bool = False  # whether bias rows have a trace where inputs have one
    standardise_every: int = 0  # samples from one standardisation to the next; 0: none

    @property
    def window_steps(self) -> int:
        """Steps of a window of unroll, and of the history: min(K, T)."""
        return min(self.unroll_steps or self.n_steps, self.n_steps)

    def has_loss(self, step: int) -> bool:
        """Whether step t = 1 ... T has a loss."""
        return step >= self.loss_start and step % self.update_every == 0

    @property
    def n_loss_steps(self) -> int:
        """Steps of a sample that have a loss."""
        return sum(self.has_loss(step) for step in range(1, self.n_steps + 1))

    def connections(self, layer: int) -> tuple[Connection, ...]:
        """Connections of a layer in the order in which their events are delivered."""
        spec = self.layers[layer]
        return spec.inputs or (Connection(source=layer - 1, channels=spec.n_in, carries_error=layer > 0),)

    @property
    def n_inputs(self) -> int:
        """Addresses of the network's input."""
        every = (connection for index in range(len(self.layers)) for connection in self.connections(index))
        return next(connection.n_source for connection in every if connection.source == NETWORK_INPUT)

    def error_connections(self, layer: int) -> list[tuple[int, Connection]]:
        """(layer n, its connection) for the connections that bring hidden layer `layer` its error, delay 0."""
        return [
            (n, connection)
            for n in range(layer + 1, len(self.layers))
            for connection in self.connections(n)
            if connection.source == layer and connection.carries_error and connection.delay == 0
        ]

    def recurrent_connection(self, layer: int) -> Connection | None:
        """The connection of a layer from its own spikes of the step before."""
        return next((connection for connection in self.connections(layer) if connection.delay == 1), None)

    def highest_magnitude(self, layer: int) -> int:
        """The largest m_i of an input address: every window full of events of the largest magnitude."""
        at_offset: dict[int, int] = {}
        for connection in self.connections(layer):
            largest = (1 << self.event_bits) - 1 if connection.source == NETWORK_INPUT else 1
            window = connection.pool_height * connection.pool_width
            at_offset[connection.offset] = at_offset.get(connection.offset, 0) + largest * window
        return max(at_offset.values())

    def is_standardised(self, layer: int) -> bool:
        """Whether the weights of a layer are brought back to their mean and variance while learning."""
        spec = self.layers[layer]
        return self.standardise_every > 0 and spec.standardise_constant > 0 and spec.learns

    def error_shift(self, layer: int, consumer: int | None = None) -> int:
        """sd of hidden layer `layer` for the error that layer `consumer` (default: the next) gives it."""
        after = self.layers[layer + 1 if consumer is None else consumer]
        return after.frac_weight + after.frac_error + after.frac_event - self.layers[layer].frac_error

    def update_shift(self, layer: int) -> int:
        """S (immediate)."""
        spec = self.layers[layer]
        return spec.frac_presynaptic + spec.frac_error + self.rate_shift - spec.rate_boost - spec.frac_weight

    def gradient_shift(self, layer: int) -> int:
        """sG."""
        spec = self.layers[layer]
        return spec.frac_presynaptic + spec.frac_error - spec.frac_gradient

    def apply_shift(self, layer: int) -> int:
        """S_G (accumulate)."""
        spec = self.layers[layer]
        return spec.frac_gradient + self.rate_shift - spec.rate_boost - spec.frac_weight

    def check(self) -> None:
        """Refuse formats, shifts and connections outside the legal ranges of semantics sections 1 and 3.

        Raises:
            UserError: naming the key, the value and what is allowed.
        """
        from neurochip.spec_checks import check_spec

        check_spec(self)
