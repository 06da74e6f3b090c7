"""How the formats of a run came about: what calibration measured, and what semantics section 1 moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neurochip.config import Experiment
from neurochip.config_precision import AUTOMATIC, DERIVED, GIVEN, CalibratedFracs, CalibratedTable
from neurochip.network.attached import Attached
from neurochip.network.choose import FreeFormats, Given, Sizes
from neurochip.network.formats import Fracs
from neurochip.network.shape import LayerShape

RAISED, TO_EVENTS = "raised to 4", "raised to that of the events"
BY_MEMBRANE, BY_READOUT, BY_NEXT = "bounded by the membrane", "bounded by the readout", "bounded by the next layers"


def calibrated_table(
    experiment: Experiment, shapes: Sequence[LayerShape], attached: Attached, sizes: Sizes, given: Given, fracs: Fracs
) -> CalibratedTable | None:
    """What stands in the resolved experiment about the origin of its formats.

    Args:
        experiment: as it was asked for.
        shapes: layers of the network.
        attached: heads and feedback layers of its rules.
        sizes: what was measured.
        given: fracs of the experiment.
        fracs: what became of them.

    Returns:
        None if everything was given, as in an experiment that a run resolved; its own table then stays.
    """
    kept_heads, kept_feedback = experiment.precision.heads or {}, experiment.precision.feedback or {}
    if (
        all(
            frac is not None for signal in ("weight", "membrane", "trace", "error", "readout") for frac in given[signal]
        )
        and all(str(index) in kept_heads for index in attached.heads)
        and all(str(index) in kept_feedback for index in attached.feedback)
    ):
        return None
    return _Origins(experiment, shapes, sizes, given, fracs).table()


@dataclass(frozen=True)
class _Origins:
    """The parts of the table, signal by signal."""

    experiment: Experiment
    shapes: Sequence[LayerShape]
    sizes: Sizes
    given: Given
    fracs: Fracs

    def table(self) -> CalibratedTable:
        """The whole table."""
        last, sizes = len(self.shapes) - 1, self.sizes
        bounds = [*[BY_MEMBRANE] * last, BY_READOUT]
        signals: dict[str, CalibratedFracs | None] = {
            "weight": self._network("weight", sizes.weights, bounds),
            "readout": self._readout(),
        }
        for signal, name, bound in (
            ("membrane", "potential", RAISED),
            ("trace", "trace", TO_EVENTS),
            ("error", "error", BY_NEXT),
        ):
            layers = range(last if signal == "membrane" else last + 1)
            measured = [sizes.of(f"{name}/{index}") for index in layers] if sizes.measured else None  # no pass was made
            signals[signal] = self._network(signal, measured, [bound] * len(layers))
        return CalibratedTable(**signals, **self._heads(), **self._feedback())

    def _network(self, signal: str, measured: Sequence[float] | None, bounds: Sequence[str]) -> CalibratedFracs | None:
        fracs, asked = getattr(self.fracs, signal), self.given[signal]
        if not fracs:
            return None
        return self._part(signal, fracs, asked, measured, bounds)

    def _part(
        self,
        signal: str,
        fracs: Sequence[int],
        asked: Sequence[int | None],
        measured: Sequence[float] | None,
        bounds: Sequence[str],
    ) -> CalibratedFracs:
        origins = []
        for index, frac in enumerate(fracs):
            wanted = asked[index]
            if wanted is None and measured is not None:
                wanted = FreeFormats(self.experiment).frac(signal, measured[index])
            if frac != wanted:
                origins.append(bounds[index])
            else:
                origins.append(AUTOMATIC if asked[index] is None else GIVEN)
        return CalibratedFracs.model_validate(
            {"frac": list(fracs), "origin": origins, "magnitude": None if measured is None else list(measured)}
        )

    def _readout(self) -> CalibratedFracs:
        origin = DERIVED if self.given["readout"][0] is None else GIVEN
        return CalibratedFracs.model_validate({"frac": [self.fracs.readout], "origin": [origin]})

    def _common(self, signal: str) -> int | None:
        """The frac that the experiment gives to all layers, heads and feedback layers among them."""
        asked: Any = getattr(self.experiment.precision, signal).frac
        return asked if isinstance(asked, int) else None

    def _heads(self) -> dict[str, CalibratedFracs]:
        """Heads by hidden layer, from first to last."""
        heads, sizes, found = dict(sorted(self.fracs.heads.items())), self.sizes, {}
        kept = self.experiment.precision.heads or {}
        for signal, bound in (("weight", BY_READOUT), ("trace", TO_EVENTS), ("error", BY_NEXT)):
            measured: list[float] | None = [sizes.of(f"head {signal}/{index}") for index in heads]
            if signal == "weight":
                measured = [sizes.heads.get(index, 1.0) for index in heads]
            elif not sizes.measured:
                measured = None
            fracs = [getattr(head, signal) for head in heads.values()]
            asked = [
                getattr(kept[str(index)], signal) if str(index) in kept else self._common(signal) for index in heads
            ]
            if fracs:
                found[f"head_{signal}"] = self._part(signal, fracs, asked, measured, [bound] * len(fracs))
        return found

    def _feedback(self) -> dict[str, CalibratedFracs]:
        """Feedback layers by hidden layer, from first to last."""
        fracs, kept = dict(sorted(self.fracs.feedback.items())), self.experiment.precision.feedback or {}
        if not fracs:
            return {}
        measured = [self.sizes.feedback.get(index, 1.0) for index in fracs]
        asked = [kept.get(str(index), self._common("weight")) for index in fracs]
        return {"feedback": self._part("weight", list(fracs.values()), asked, measured, [BY_NEXT] * len(fracs))}
