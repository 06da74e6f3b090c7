"""Which quantisers of the float twin are on, with the formats of the integer core (docs/semantics.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from neurochip.errors import UserError
from neurochip.spec import CoreSpec

QUANTISERS = ("weight", "membrane", "surrogate", "trace", "error", "delta", "gradient", "readout")


@dataclass(frozen=True)
class Quantisers:
    """The quantisers that are on.

    Attributes:
        names: some of QUANTISERS. Those of signals that a rule does not have do nothing.
        formats: the integer specification of the same network and rule.

    Raises:
        UserError: for an unknown name, or one that stands there twice.
    """

    names: tuple[str, ...]
    formats: CoreSpec

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in QUANTISERS or self.names.count(name) > 1:
                raise UserError(f"quantisers holds {name!r}; allowed are {', '.join(QUANTISERS)}, each once")
