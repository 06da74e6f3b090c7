"""The directory of a run: resolved experiment, checkpoint, metrics, activity and reports; every file whole or absent.

experiment.toml   the resolved experiment; it alone continues the run
checkpoint.h5     weights and random registers per rule, written after every epoch or some hundred samples of a stream
metrics.jsonl     one line per epoch, or per checkpoint of a stream, with the time of day
activity.h5       totals and the recorded samples, one group per rule
report.json, report.html and the plots of its page as *.svg
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurochip.activity import FIELDS
from neurochip.activity_hdf5 import read_activities, read_subset, write_activities, write_subset
from neurochip.clocked import Clocked
from neurochip.config import Experiment, parse_experiment
from neurochip.config_nir import tables_as_read_now
from neurochip.errors import UserError
from neurochip.stream_training import StreamProgress
from neurochip.training import Epoch, Outcome, Recorded, TrainingState

EXPERIMENT, CHECKPOINT, METRICS = "experiment.toml", "checkpoint.h5", "metrics.jsonl"
ACTIVITY, REPORT_JSON, REPORT_HTML = "activity.h5", "report.json", "report.html"
ACTIVITY_SCHEMA = "neurochip-activity/1"


class RunDirectory:
    """A run directory, new or continued."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._states: dict[str, TrainingState] = {}

    @staticmethod
    def default_path(name: str) -> Path:
        """runs/<time>-<name> in the current folder, not yet there."""
        stamp = datetime.now(tz=UTC).astimezone().strftime("%Y%m%d-%H%M%S")
        path = Path("runs") / f"{stamp}-{name}"
        suffix = 1
        while path.exists():
            suffix += 1
            path = Path("runs") / f"{stamp}-{name}-{suffix}"
        return path

    def _is_used(self) -> bool:
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    def _holds_another(self) -> UserError:
        return UserError(
            f"{self.path}: the folder holds another experiment; give --out a new or empty folder, or the same "
            "experiment to continue it"
        )

    def rates_of(self, resolved: Experiment) -> dict[str, float] | None:
        """The learning rates found by an earlier search for the same experiment; None in a new directory.

        Raises:
            UserError: if the directory holds something else.
        """
        if not self._is_used():
            return None
        earlier, asked = read_experiment_tables(self.path), resolved.to_tables()
        rates: dict[str, float] = earlier["learning"].pop("rates", {})
        asked["learning"].pop("rates", None)
        if earlier != asked:
            raise self._holds_another()
        return rates

    def open(self, resolved: Experiment, files: Callable[[], Mapping[str, bytes]] = dict) -> None:
        """Create the directory, or continue in it if it holds the same experiment.

        `files` makes what belongs to the experiment, by name; a new directory gets them before the experiment.

        Raises:
            UserError: if it holds something else.
        """
        tables = resolved.to_tables()
        if self._is_used():
            if read_experiment_tables(self.path) != tables:
                raise self._holds_another()
            self._states = self._load_states()
            return
        import tomli_w

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name, content in files().items():
                _write_atomically(self.path / name, functools.partial(_write_bytes, content))
            _write_atomically(self.path / EXPERIMENT, lambda part: part.write_bytes(tomli_w.dumps(tables).encode()))
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); give --out a writable one") from error

    @property
    def is_finished(self) -> bool:
        """Whether the report was written."""
        return (self.path / REPORT_JSON).exists() and (self.path / REPORT_HTML).exists()

    def state(self, key: str) -> TrainingState | None:
        """A copy of the checkpoint of one run, if there is one."""
        with self._lock:
            return _copy(self._states[key]) if key in self._states else None

    def save_state(self, key: str, state: TrainingState) -> None:
        """Write the checkpoint of all runs and one line of metrics."""
        with self._lock:
            self._states[key] = _copy(state)
            _write_atomically(self.path / CHECKPOINT, self._write_states)
            line = {"time": round(time.time(), 3), "run": key, **_metrics(state)}
            with (self.path / METRICS).open("a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(line) + "\n")

    def _write_states(self, path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            for key, state in self._states.items():
                group = _group(file, key)
                for index, weights in enumerate(state.weights):
                    group.create_dataset(f"layers/{index}/weight", data=weights)
                for index, velocities in enumerate(state.velocities):
                    group.create_dataset(f"layers/{index}/velocity", data=velocities)
                group.create_dataset("random_registers", data=state.registers)
                records = [{"train": epoch.train, "validation": epoch.validation} for epoch in state.epochs]
                group.attrs["epochs"] = json.dumps(records)
                clocked = [epoch.clocked and epoch.clocked.as_table() for epoch in state.epochs]
                if any(clocked):
                    group.create_dataset("clocked", data=json.dumps(clocked))
                activities = [epoch.activity for epoch in state.epochs if epoch.activity is not None]
                if activities:
                    write_activities(group.create_group("activity"), activities)
                if state.subset is not None:
                    write_subset(group.create_group("subset"), state.subset)
                if state.stream is not None:
                    state.stream.write(group.create_group("stream"))

    def _load_states(self) -> dict[str, TrainingState]:
        import h5py

        path = self.path / CHECKPOINT
        if not path.exists():
            return {}
        states: dict[str, TrainingState] = {}

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group) and "epochs" in item.attrs:
                records = json.loads(item.attrs["epochs"])
                activities = read_activities(item["activity"]) if "activity" in item else [None] * len(records)
                tables = json.loads(item["clocked"][()]) if "clocked" in item else [None] * len(records)
                epochs = [
                    Epoch(r["train"], r["validation"], activity, table and Clocked.of_table(table))
                    for r, activity, table in zip(records, activities, tables, strict=True)
                ]
                layers = [item[f"layers/{index}"] for index in range(len(item["layers"]))]
                weights = [layer["weight"][()] for layer in layers]
                velocities = [layer["velocity"][()] for layer in layers if "velocity" in layer]
                subset = read_subset(item["subset"]) if "subset" in item else None
                stream = StreamProgress.read(item["stream"]) if "stream" in item else None
                states[name] = TrainingState(weights, item["random_registers"][()], epochs, subset, velocities, stream)

        try:
            with h5py.File(path, "r") as file:
                visit(".", file)
                file.visititems(visit)
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"{path}: is not a checkpoint of this version ({error}); delete it to begin anew"
            ) from error
        return states

    def write_activity(self, outcomes: Mapping[str, Outcome]) -> None:
        """Write the activity of every fixed-point run: totals per epoch and of the test split, and recorded samples."""
        _write_atomically(self.path / ACTIVITY, lambda path: _write_activity_file(path, outcomes))


def _copy(state: TrainingState) -> TrainingState:
    """A state of its own: a run changes its own while the checkpoint of all runs is written for another one."""
    return replace(state, weights=list(state.weights), epochs=list(state.epochs), velocities=list(state.velocities))


def _metrics(state: TrainingState) -> dict[str, float | None]:
    """What metrics.jsonl says of a checkpoint."""
    if state.stream is not None:
        right = state.stream.right
        return {"samples": len(right), "accuracy": float(right.mean())}
    last = state.epochs[-1]
    return {"epoch": len(state.epochs), "train_accuracy": last.train, "validation_accuracy": last.validation}


def _group(file: Any, key: str) -> Any:
    """The group of a run; a run alone in its directory lies at the root, "."."""
    return file if key == "." else file.require_group(key)


def _write_activity_file(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["schema"] = ACTIVITY_SCHEMA
        file.attrs["fields"] = list(FIELDS)
        for key, outcome in outcomes.items():
            group = _group(file, key)
            write_activities(group.create_group("train"), [e.activity for e in outcome.epochs if e.activity])
            if outcome.test_activity is not None:
                write_activities(group.create_group("test"), [outcome.test_activity])
            if outcome.subset is not None:
                write_subset(group.create_group("subset"), outcome.subset)
            if outcome.test_subset is not None:
                write_subset(group.create_group("test_subset"), outcome.test_subset)


def read_activity(directory: Path) -> dict[str, Recorded]:
    """Read activity.h5 of a finished run: key of the run -> what was recorded.

    Raises:
        UserError: no such file, a damaged one, or one whose fields are those of another version.
    """
    import h5py

    path = directory / ACTIVITY
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the folder of a finished run")
    found: dict[str, Recorded] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "train" in item:
            subset = read_subset(item["subset"]) if "subset" in item else None
            test_subset = read_subset(item["test_subset"]) if "test_subset" in item else None
            test = read_activities(item["test"])[0] if "test" in item else None
            found[name] = Recorded(tuple(read_activities(item["train"])), subset, test, test_subset)

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("schema") != ACTIVITY_SCHEMA or list(file.attrs["fields"]) != list(FIELDS):
                raise UserError(
                    f"{path}: was written by another version of neurochip, whose activity has other fields; run the "
                    f"experiment again with --out and {directory / EXPERIMENT}"
                )
            visit(".", file)
            file.visititems(visit)
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: is damaged or no activity file ({error}); run the experiment again") from error
    return found


def read_experiment_tables(directory: Path) -> dict[str, Any]:
    """Read the resolved experiment of a run directory.

    Raises:
        UserError: if the folder is not a run directory.
    """
    path = directory / EXPERIMENT
    try:
        return tables_as_read_now(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{directory}: is not a run directory (no readable {EXPERIMENT}); allowed is the folder of an earlier run, "
            "as for --resume, and for --out a new or empty folder"
        ) from error


def read_experiment(directory: Path) -> Experiment:
    """Read and check the resolved experiment of a run directory."""
    return parse_experiment(read_experiment_tables(directory), str(directory / EXPERIMENT))


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside the target and rename, so that a reader sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
