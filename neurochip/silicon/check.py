"""One published number against one computed number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["prediction", "exact", "calibration", "fit", "bound", "model", "consistency"]
Method = Literal["calibrated", "bottom-up", "formula", "published"]
ROLES: dict[Role, str] = {
    "prediction": "a published number that was not used to make the model: the only validation",
    "exact": "cycles, accesses and sizes that must be equal, and prices that must be those of their source",
    "calibration": "the model was set to this number",
    "fit": "as many parameters as data, or an input solved from the number itself: no validation",
    "bound": "a part that must not exceed the published whole",
    "model": "our laws against the output of the tool or table they stand for: no silicon",
    "consistency": "published numbers held against each other",
}
EXACT_RELATIVE = 1e-9  # rounding of binary floating point


@dataclass(frozen=True)
class Check:
    """A published number, what was computed for it, and how far they may be apart.

    Attributes:
        group: what was published together; the table shows an exact group that holds as one line.
        name: which number it is.
        published, predicted: in `unit`.
        tolerance_percent: 0 for equality.
        role: one of ROLES.
        method: "calibrated" uses the chip file's energies per cycle, "bottom-up" its SRAM, logic and clock energies;
            "formula" needs no energy; "published" uses only published numbers.
        source, grade: of the published number. Grades: RTL (Verilog read or simulated), SRC (project's source or
            documentation), 2nd (quoted by another document), MEM (from memory), derived, tool (output of a tool).
    """

    group: str
    name: str
    published: float
    predicted: float
    unit: str
    tolerance_percent: float
    role: Role
    method: Method
    source: str
    grade: str

    @property
    def error_percent(self) -> float:
        """100 * (predicted - published) / published; infinite where a published 0 is missed."""
        if self.predicted == self.published:
            return 0.0
        if self.published == 0:
            return math.copysign(math.inf, self.predicted)
        return 100 * (self.predicted - self.published) / self.published

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance; for a bound, whether the prediction is not above it."""
        error = self.error_percent if self.role == "bound" else abs(self.error_percent)
        return error <= max(self.tolerance_percent, 100 * EXACT_RELATIVE)


@dataclass(frozen=True)
class Summary:
    """How many checks of each role there are and hold."""

    number: dict[Role, int]
    held: dict[Role, int]
    failed: tuple[Check, ...]

    @property
    def sentence(self) -> str:
        """One line; predictions first, because only they validate."""
        parts = [f"{self.held[role]} of {self.number[role]} {role}" for role in ROLES if self.number[role]]
        return f"{self.held['prediction']} of {self.number['prediction']} predictions hold (all: {', '.join(parts)})"


def summary(checks: Sequence[Check]) -> Summary:
    """Count checks by role, and name those that fail."""
    return Summary(
        number={role: sum(check.role == role for check in checks) for role in ROLES},
        held={role: sum(check.role == role and check.holds for check in checks) for role in ROLES},
        failed=tuple(check for check in checks if not check.holds),
    )
