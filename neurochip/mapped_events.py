"""Events in steps that lie in a folder of plain arrays and are mapped from there, a few samples in memory at a time.

The folder is a cache: written beside its place and renamed, so that it is complete or absent; every array carries its
SHA-256, and a folder that does not hold what was written is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurochip.events import EventDataset, SampleEvents

CONTENTS = "contents.json"
LAYOUT = {"step_offsets": "<i8", "addresses": "<u4", "magnitudes": "u1", "labels": "<i4"}


class MappedEvents(EventDataset):
    """An EventDataset whose arrays lie in files: same samples, same order, nothing in memory but what is asked for.

    `take` and `chunk` return data sets in memory; `subset` is a choice of samples that stays in the files. The arrays
    `step_offsets`, `addresses` and `magnitudes` are those of all samples, read when they are asked for.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], n_inputs: int, n_steps: int, chosen: NDArray[np.int64] | None = None
    ) -> None:
        labels = np.asarray(arrays["labels"])
        own = np.arange(len(labels)) if chosen is None else chosen
        values = {"n_inputs": n_inputs, "n_steps": n_steps, "labels": labels[own].astype(np.int32)}
        values |= {"_arrays": arrays, "_chosen": own}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    _arrays: Mapping[str, NDArray[Any]]
    _chosen: NDArray[np.int64]

    @property
    def n_events(self) -> int:
        """Number of events of all samples, without reading them."""
        first, last = self._ends(self._chosen)
        return int((last - first).sum())

    def _ends(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in the file the events of samples begin and end."""
        offsets = self._arrays["step_offsets"]
        return np.asarray(offsets[samples * self.n_steps]), np.asarray(offsets[(samples + 1) * self.n_steps])

    def take(self, indices: ArrayLike) -> EventDataset:
        """Return the samples `indices` in memory, in that order."""
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.n_samples):
            raise IndexError(f"sample indices run from {wanted.min()} to {wanted.max()}; there are {self.n_samples}")
        samples = self._chosen[wanted]
        first, last = self._ends(samples)
        steps = self._arrays["step_offsets"]
        lengths = [np.diff(steps[i * self.n_steps : (i + 1) * self.n_steps + 1]) for i in samples]
        offsets = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        parts = [slice(int(start), int(end)) for start, end in zip(first, last, strict=True)]
        addresses, magnitudes = (
            np.concatenate([np.zeros(0, np.int32), *(self._arrays[name][part].astype(np.int32) for part in parts)])
            for name in ("addresses", "magnitudes")
        )
        return EventDataset(offsets, addresses, magnitudes, self.labels[wanted], self.n_inputs, self.n_steps)

    def chunk(self, indices: NDArray[np.integer[Any]]) -> tuple[EventDataset, NDArray[np.integer[Any]]]:
        """Return the samples `indices` in memory, and their places there."""
        return self.take(indices), np.arange(len(indices))

    def subset(self, indices: ArrayLike) -> MappedEvents:
        """Return the samples `indices`, in that order, still in the files."""
        chosen = self._chosen[np.asarray(indices, dtype=np.int64)]
        return MappedEvents(self._arrays, self.n_inputs, self.n_steps, chosen)

    def sample(self, index: int) -> SampleEvents:
        """Return one sample, in memory."""
        return self.take([index]).sample(0)

    def counts(self) -> NDArray[np.int32]:
        """Return the summed magnitudes per sample and address, dense int32 [n_samples, n_inputs]."""
        rows = [self.take([index]).counts() for index in range(self.n_samples)]
        return np.concatenate([np.zeros((0, self.n_inputs), np.int32), *rows])

    @property
    def step_offsets(self) -> NDArray[np.int64]:
        """Those of all samples, read into memory."""
        return self.take(np.arange(self.n_samples)).step_offsets

    @property
    def addresses(self) -> NDArray[np.int32]:
        """Those of all samples, read into memory."""
        return self.take(np.arange(self.n_samples)).addresses

    @property
    def magnitudes(self) -> NDArray[np.int32]:
        """Those of all samples, read into memory."""
        return self.take(np.arange(self.n_samples)).magnitudes


def read_folder(folder: Path, key: str) -> tuple[dict[str, MappedEvents], dict[str, Any]]:
    """Return the splits of a folder that `write_folder` made, and its notes.

    Raises:
        OSError, ValueError: the folder is absent, was made for another key, or does not hold what was written.
    """
    contents = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
    if contents["key"] != key:
        raise ValueError(f"{folder} was made for the key {contents['key']}")
    splits = {}
    for split, table in contents["splits"].items():
        arrays = {}
        for name, code in LAYOUT.items():
            path, length = folder / f"{split}.{name}", int(table["lengths"][name])
            if path.stat().st_size != length * np.dtype(code).itemsize or _sha256(path) != table["sha256"][name]:
                raise ValueError(f"{path} is not what was written")
            # The base class: numba takes no memmap, and a view of the mapping is all that is needed.
            arrays[name] = np.asarray(np.memmap(path, code, "r", shape=(length,))) if length else np.zeros(0, code)
        splits[split] = MappedEvents(arrays, int(contents["shape"][0]), int(contents["shape"][1]))
    return splits, contents["notes"]


def write_folder(
    folder: Path,
    key: str,
    shape: tuple[int, int],
    splits: Mapping[str, Callable[[], Iterable[EventDataset]]],
    notes: Callable[[], Mapping[str, Any]],
) -> None:
    """Write the blocks of every split, one after the other, under a name of its own, then rename.

    `shape` is (n_inputs, n_steps) of all blocks. `notes` is called when all blocks were written; what it returns lies
    beside them. A folder that another run put there in the meantime stays.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    temporary.mkdir()
    try:
        tables = {split: _write_split(temporary, split, blocks()) for split, blocks in splits.items()}
        contents = {"key": key, "shape": shape, "splits": tables, "notes": dict(notes())}
        (temporary / CONTENTS).write_text(json.dumps(contents, indent=1), encoding="utf-8")
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / CONTENTS).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_split(folder: Path, split: str, blocks: Iterable[EventDataset]) -> dict[str, Any]:
    """Append the blocks of a split to its files; return what `read_folder` has to know of them."""
    files = {name: (folder / f"{split}.{name}").open("wb") for name in LAYOUT}
    lengths, hashes = dict.fromkeys(LAYOUT, 0), {name: hashlib.sha256() for name in LAYOUT}

    def append(name: str, values: NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, dtype=LAYOUT[name]).tobytes()
        files[name].write(data)
        hashes[name].update(data)
        lengths[name] += len(values)

    try:
        append("step_offsets", np.zeros(1, np.int64))
        end = 0
        for block in blocks:
            append("step_offsets", block.step_offsets[1:] + end)
            for name in ("addresses", "magnitudes", "labels"):
                append(name, getattr(block, name))
            end += block.n_events
    finally:
        for file in files.values():
            file.close()
    digests = {name: digest.hexdigest() for name, digest in hashes.items()}
    return {"lengths": lengths, "sha256": digests}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
