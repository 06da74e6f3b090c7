"""Named learning rules: points on the axes temporal credit, spatial credit and update (semantics section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError

NO_LEARNING = "infer"
WITHOUT_GRADIENT_MEMORY = "without gradient memory"
WITH_GRADIENT_MEMORY = "with gradient memory"


@dataclass(frozen=True)
class Rule:
    """A learning rule.

    Attributes:
        name: as typed by the user.
        temporal: "none" | "trace" | "spike" | "unroll".
        spatial: "none" | "backprop".
        update: "none" | "immediate" | "accumulate" (per sample, or per batch when learning.batch > 1).
        summary: one line.
    """

    name: str
    temporal: str
    spatial: str
    update: str
    summary: str

    @property
    def group(self) -> str:
        """The group inside which costs are compared: rules with a gradient memory, and rules without."""
        if self.update == "none":
            return NO_LEARNING
        return WITH_GRADIENT_MEMORY if self.update == "accumulate" else WITHOUT_GRADIENT_MEMORY

    @property
    def baseline(self) -> str | None:
        """The back-propagation through time of its group."""
        return {WITHOUT_GRADIENT_MEMORY: "bptt-o", WITH_GRADIENT_MEMORY: "bptt"}.get(self.group)


RULES: tuple[Rule, ...] = (
    Rule("infer", "none", "none", "none", "no learning: weights trained off the chip (float BPTT) and loaded"),
    Rule("sltt-o", "spike", "backprop", "immediate", "spatial learning through time, weights change at every step"),
    Rule("ottt-o", "trace", "backprop", "immediate", "online training through time, weights change at every step"),
    Rule("bptt-o", "unroll", "backprop", "immediate", "BPTT over all T steps, weights change in the reverse pass"),
    Rule("sltt", "spike", "backprop", "accumulate", "spatial learning through time, gradients accumulated"),
    Rule("ottt-a", "trace", "backprop", "accumulate", "online training through time, gradients accumulated"),
    Rule("bptt", "unroll", "backprop", "accumulate", "BPTT over all T steps: the true gradient, accumulated"),
)
DEFAULT_COMPARISON: tuple[str, ...] = ("infer", "sltt-o", "ottt-o", "bptt-o", "ottt-a", "bptt")
_BY_NAME = {rule.name: rule for rule in RULES}


def find_rule(name: str) -> Rule:
    """Return the rule of that name.

    Raises:
        UserError: listing the rules there are.
    """
    if name not in _BY_NAME:
        raise UserError(f"{name!r} is not a rule; allowed are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
