"""The integers a run learned, out of its run directory: weights, random registers, velocities, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.fixed_point import QFormat
from neurochip.network.formats import fracs_of
from neurochip.network.resolve import Lanes, core_spec, halvings_of
from neurochip.network.shape import layer_shapes
from neurochip.report.json_file import read_report_json
from neurochip.rules.presets import find_rule
from neurochip.run_directory import CHECKPOINT, REPORT_JSON, read_experiment
from neurochip.setup import chip_of
from neurochip.spec import CoreSpec, LayerSpec

Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Learned:
    """A rule of a finished run: its specification and what its memories held at the end.

    Attributes:
        name: of the run.
        rule: as the run names it.
        classes: labels of the classes, in the order of the outputs.
        epochs: epochs done; None with a stream.
        stream_samples: samples of the stream that were run; None with epochs.
        microarchitecture: of the chip of the run.
        spec: the integer specification, at the learning rate of the last epoch.
        weights: [layer][N_w rows and bias rows, columns].
        registers: random registers [layer, lane].
        velocities: V, shaped like the weights; empty without momentum.
        dt: seconds of a step, if the network came out of a NIR graph with time constants.
    """

    name: str
    rule: str
    classes: tuple[Any, ...]
    epochs: int | None
    stream_samples: int | None
    microarchitecture: str
    spec: CoreSpec
    weights: tuple[Integers, ...]
    registers: NDArray[np.uint32]
    velocities: tuple[Integers, ...]
    dt: float | None = None


class _State(NamedTuple):
    """What the chip held at the end, and how much it had learned; fields as in `Learned`."""

    weights: tuple[Integers, ...]
    registers: NDArray[np.uint32]
    velocities: tuple[Integers, ...]
    epochs: int
    stream_samples: int | None


def load_learned(directory: Path, rule: str | None = None) -> Learned:
    """Read what a rule of a finished run learned in fixed point.

    Args:
        directory: the run directory.
        rule: its name; None where the run has only one.

    Raises:
        UserError: no finished run, a rule it does not have, or no weights of it.
    """
    experiment = read_experiment(directory)
    report = read_report_json(directory / REPORT_JSON)
    fixed = [result["rule"] for result in report["results"] if result["precision"] == "fixed"]
    chosen = find_rule(_chosen(directory, fixed, rule))
    key = chosen.key if len(experiment.run.rules or []) > 1 else "."
    state = _read_state(directory, key, chosen.name)
    chip = chip_of(experiment)
    shapes = layer_shapes(experiment, report["task"]["n_inputs"], len(report["task"]["classes"]))
    halvings = halvings_of(experiment, max(0, state.epochs - 1))
    lanes = Lanes(chip.lanes, chip.trace_lanes)
    spec = core_spec(experiment, chosen, shapes, fracs_of(experiment), lanes, halvings)
    _check(directory, spec, state)
    return Learned(
        name=report["name"],
        rule=chosen.name,
        classes=tuple(report["task"]["classes"]),
        epochs=state.epochs if state.stream_samples is None else None,
        stream_samples=state.stream_samples,
        microarchitecture=chip.microarchitecture,
        spec=spec,
        weights=state.weights,
        registers=state.registers,
        velocities=state.velocities,
        dt=experiment.network.nir.dt if experiment.network.nir is not None else None,
    )


def matrix_format(spec: CoreSpec, layer: LayerSpec) -> QFormat:
    """The format of the weights of a layer."""
    return QFormat(spec.weight_bits, layer.frac_weight, True)


def n_rows(layer: LayerSpec) -> int:
    """Rows of the weights that are stored: those of an absent bias are not."""
    return layer.n_weight_rows + (layer.n_bias_rows if layer.bias else 0)


def _chosen(directory: Path, fixed: Sequence[str], rule: str | None) -> str:
    known = ", ".join(fixed)
    if not fixed:
        raise UserError(f"{directory}: the run has no fixed-point results, and real numbers have no formats to export")
    if rule is None and len(fixed) > 1:
        raise UserError(f"{directory}: the run has several rules; give --rule one of {known}")
    if rule is not None and rule not in fixed:
        raise UserError(f"--rule {rule}: the run {directory} has no such rule in fixed point; allowed are {known}")
    return fixed[0] if rule is None else rule


def _read_state(directory: Path, key: str, rule: str) -> _State:
    """What checkpoint.h5 (docs/run-directory.md) holds of a rule; `key` is its group."""
    import h5py

    path = directory / CHECKPOINT
    if not path.is_file():
        raise UserError(f"{path}: there is no such file, so there are no weights to export; run the experiment again")
    try:
        with h5py.File(path, "r") as file:
            if key not in file or "epochs" not in file[key].attrs:
                raise UserError(f"{path}: has no weights of {rule}; run the experiment again")
            group = file[key]
            layers = [group[f"layers/{index}"] for index in range(len(group["layers"]))]
            return _State(
                weights=tuple(layer["weight"][()] for layer in layers),
                registers=group["random_registers"][()],
                velocities=tuple(layer["velocity"][()] for layer in layers if "velocity" in layer),
                epochs=len(json.loads(group.attrs["epochs"])),
                stream_samples=len(group["stream/right"]) if "stream" in group else None,
            )
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: is not a checkpoint of this version ({error}); run the experiment again") from error


def _check(directory: Path, spec: CoreSpec, state: _State) -> None:
    """Weights that do not fit the experiment would be exported under wrong formats."""
    shapes = [(layer.n_weight_rows + layer.n_bias_rows, layer.columns) for layer in spec.layers]
    found = [tuple(weights.shape) for weights in state.weights]
    if found != shapes:
        raise UserError(
            f"{directory / CHECKPOINT}: has weights of shape {found}, the experiment beside it needs {shapes}; run it "
            "again"
        )
    limits = [matrix_format(spec, layer) for layer in spec.layers]
    pairs = zip(state.weights, limits, strict=True)
    if any(np.any((weights < fmt.lowest) | (weights > fmt.highest)) for weights, fmt in pairs):
        raise UserError(
            f"{directory / CHECKPOINT}: has weights outside {limits[0].lowest} to {limits[0].highest}, the range of "
            f"precision.weight.bits = {spec.weight_bits}; run the experiment again"
        )


__all__ = ["Integers", "Learned", "load_learned", "matrix_format", "n_rows"]
