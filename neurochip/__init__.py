"""neurochip: a simulator of a neuromorphic core that learns on the chip, bit for bit, with its cost::

    import neurochip
    report = neurochip.learn({"task": {"steps": 20}, "learning": {"rule": "ottt-o", "epochs": 3}})
    report.result("ottt-o")["accuracy"]["test"]

`learn` and `compare` take an experiment file, nested tables, or nothing (the default experiment).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurochip._version import __version__
from neurochip.errors import UserError

if TYPE_CHECKING:
    from neurochip.config import Experiment
    from neurochip.experiment import Report

__all__ = ["UserError", "__version__", "compare", "learn"]

Source = str | Path | Mapping[str, Any] | None


def learn(experiment: Source = None, *, overrides: Sequence[str] = (), out: str | Path | None = None) -> Report:
    """Simulate learning with one rule and price it.

    Args:
        experiment: path of an experiment file, nested tables, or None for the default experiment.
        overrides: "KEY=VALUE" texts as for `--set`.
        out: run directory (default: runs/<time>-<name>).

    Raises:
        UserError: one sentence naming file, key, value and what is allowed.
    """
    from neurochip import experiment as story

    parsed, base_dir = _experiment(experiment, overrides)
    return story.learn(parsed, base_dir=base_dir, out=None if out is None else Path(out))


def compare(
    experiment: Source = None,
    *,
    rules: Sequence[str] | None = None,
    tune: bool = False,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
) -> Report:
    """Compare learning rules on the same spikes and silicon; arguments as for `learn`."""
    from neurochip import experiment as story

    chosen = [f"run.rules={list(rules)!r}"] if rules is not None else []
    tuned = ["run.tune=true"] if tune else []
    parsed, base_dir = _experiment(experiment, [*overrides, *chosen, *tuned])
    return story.compare(parsed, base_dir=base_dir, out=None if out is None else Path(out))


def _experiment(source: Source, overrides: Sequence[str]) -> tuple[Experiment, Path]:
    from neurochip.config import load_experiment

    if isinstance(source, Mapping):
        return load_experiment(None, overrides, tables=source), Path()
    path = None if source is None else Path(source)
    return load_experiment(path, overrides), Path() if path is None else path.parent
