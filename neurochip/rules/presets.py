"""Learning rules: points on the axes temporal credit, spatial credit and update (semantics section 4), and their names.

A rule is a preset ("ottt-o") or any point written as TEMPORAL/SPATIAL/UPDATE ("trace/local(2)/deferred(4)").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from neurochip.errors import UserError

NO_LEARNING = "infer"
WITHOUT_GRADIENT_MEMORY = "without gradient memory"
WITH_GRADIENT_MEMORY = "with gradient memory"
ALL_STEPS = 0
ACCUMULATING = ("deferred", "window", "sample")
READOUT_LEAK = "readout"  # a trace filtered by the leak of the readout
EXAMPLES = "trace/local(2)/deferred(4), unroll(5)/backprop/window(10) or spike/feedback/sample"
_LETTERS = {"unroll": "K", "local": "b", "deferred": "D", "window": "W"}
_AXES: dict[str, tuple[str, ...]] = {
    "temporal": ("trace", "spike", "unroll"),
    "spatial": ("backprop", "local", "feedback"),
    "update": ("immediate", "deferred", "window", "sample"),
}


@dataclass(frozen=True)
class Rule:
    """A learning rule. A parameter that is None comes from the experiment (`neurochip.network.rule_layers.concrete`).

    Attributes:
        name: as typed by the user.
        temporal: "none" | "trace" | "spike" | "unroll".
        spatial: "none" | "backprop" | "local" | "feedback".
        update: "none" | "immediate" | "deferred" | "window" | "sample" (or per batch when learning.batch > 1).
        summary: one line.
        unroll: K of `unroll`, 0: all steps; None: learning.unroll.
        block: b of `local`; None: learning.block.
        every: D of `deferred`, W of `window`; None: learning.window.
        feedback: "random" | "symmetric"; None: learning.feedback.
        train_heads: False: heads keep their weights; None: learning.train_heads.
        trace_filter: default of learning.trace_filter: the k of a leak, or "readout"; None: no filter.
    """

    name: str
    temporal: str
    spatial: str
    update: str
    summary: str
    unroll: int | None = ALL_STEPS
    block: int | None = 1
    every: int | None = 1
    feedback: str | None = None
    train_heads: bool | None = None
    trace_filter: int | str | None = None

    @property
    def accumulates(self) -> bool:
        """Whether it keeps gradients and applies them later."""
        return self.update in ACCUMULATING

    @property
    def group(self) -> str:
        """The group inside which costs are compared: rules with a gradient memory, and rules without."""
        if self.update == "none":
            return NO_LEARNING
        return WITH_GRADIENT_MEMORY if self.accumulates else WITHOUT_GRADIENT_MEMORY

    @property
    def baseline(self) -> str | None:
        """The back-propagation through time of its group."""
        return {WITHOUT_GRADIENT_MEMORY: "bptt-o", WITH_GRADIENT_MEMORY: "bptt"}.get(self.group)

    @property
    def key(self) -> str:
        """Its name without slashes, which would part a name of HDF5."""
        return self.name.replace("/", ",")

    @property
    def axes(self) -> tuple[str, str, str]:
        """The three axes with their parameters: ("unroll(5)", "local(b)", "window(W)"); letters stand for None."""
        unroll = "T" if self.unroll == ALL_STEPS else self.unroll
        return _written(self.temporal, unroll), _written(self.spatial, self.block), _written(self.update, self.every)


def _written(value: str, parameter: int | str | None) -> str:
    if value not in _LETTERS:
        return value
    return f"{value}({_LETTERS[value] if parameter is None else parameter})"


RULES: tuple[Rule, ...] = (
    Rule("infer", "none", "none", "none", "no learning: weights trained off the chip (float BPTT) and loaded"),
    Rule("sltt-o", "spike", "backprop", "immediate", "spatial learning through time, weights change at every step"),
    Rule("ottt-o", "trace", "backprop", "immediate", "online training through time, weights change at every step"),
    Rule("bptt-o", "unroll", "backprop", "immediate", "BPTT over all T steps, weights change in the reverse pass"),
    Rule("sltt", "spike", "backprop", "sample", "spatial learning through time, gradients accumulated"),
    Rule("ottt-a", "trace", "backprop", "sample", "online training through time, gradients accumulated"),
    Rule("bptt", "unroll", "backprop", "sample", "BPTT over all T steps: the true gradient, accumulated"),
    Rule("tbptt", "unroll", "backprop", "window", "BPTT cut into windows, applied after windows", None, every=None),
    Rule("ttl-bptt", "unroll", "local", "window", "BPTT cut into windows and blocks of layers", None, None, None),
    Rule("ottt-local", "trace", "local", "immediate", "ottt-o with a readout of its own at every layer"),
    Rule(
        "e-prop", "trace", "feedback", "sample", "traces filtered by the leak of the readout, errors fed to all layers",
        feedback="symmetric", trace_filter=READOUT_LEAK,
    ),
    Rule(
        "decolle", "trace", "local", "immediate", "filtered traces, fixed random readouts at every layer",
        train_heads=False, trace_filter=1,
    ),
)  # fmt: skip
DEFAULT_COMPARISON: tuple[str, ...] = ("infer", "sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt")
_BY_NAME = {rule.name: rule for rule in RULES}


def find_rule(name: str) -> Rule:
    """Return the preset of that name, or the point TEMPORAL/SPATIAL/UPDATE.

    TEMPORAL is trace, spike or unroll(K), unroll(T) being all steps; SPATIAL backprop, local(b) or feedback; UPDATE
    immediate, deferred(D), window(W) or sample.

    Raises:
        UserError: listing the rules there are, or why the point is not legal.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    parts = name.split("/")
    if len(parts) != len(_AXES):
        raise UserError(f"{name!r} is not a rule; allowed are {', '.join(_BY_NAME)}, and points such as {EXAMPLES}")
    values = {axis: _value(name, axis, part) for axis, part in zip(_AXES, parts, strict=True)}
    (temporal, unroll), (spatial, block), (update, every) = values.values()
    if update == "window" and temporal != "unroll":
        raise UserError(f"{name!r}: window(W) needs unroll(K), as other rules have no windows")
    if update == "window" and unroll > 1 and every < unroll:
        raise UserError(
            f"{name!r}: no gradient is formed before a window of unroll({unroll}) ends; allowed is window({unroll}) "
            "or more"
        )
    point = Rule(name, temporal, spatial, update, "", unroll, block, every)
    written = "/".join(point.axes)
    return replace(point, name=written, summary=f"the point {written}")


def _value(name: str, axis: str, text: str) -> tuple[str, int]:
    """The value on an axis, and its parameter; where it has none, that of a preset without one."""
    match = re.fullmatch(r"\s*([a-z]+)\s*(?:\(\s*([1-9]\d{0,8}|T)\s*\))?\s*", text)
    value, parameter = match.groups() if match else ("", None)
    has_one = (parameter is not None) == (value in _LETTERS)
    if value not in _AXES[axis] or not has_one or (parameter == "T" and value != "unroll"):
        allowed = ", ".join(f"{v}({_LETTERS[v]})" if v in _LETTERS else v for v in _AXES[axis])
        raise UserError(f"{name!r}: {text.strip()!r} does not stand on the axis {axis}; allowed are {allowed}")
    if axis == "temporal" and parameter in (None, "T"):
        return value, ALL_STEPS
    return value, int(parameter or 1)
