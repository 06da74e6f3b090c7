"""Task `dvs-gesture`: DVS128 Gesture, 11 hand gestures of 29 people (Amir et al. 2017), from the authors or from tonic.

The authors' recordings (AEDAT 3.1) hold all gestures of a person under one light. Beside each lies a list of gestures:
class 1 to 11, and first and last microsecond on the clock of the recording, of which start <= t < end is the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurochip.errors import UserError
from neurochip.readers import aedat3
from neurochip.readers.blocks import MAX_SORTED_EVENTS, Block, Sample, recordings_of
from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place, Texts
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task
from neurochip.tasks.tonic_download import TonicSet

FOLDERS = {"ibmGestureTrain": "train", "ibmGestureTest": "test"}
LISTS = {"trials_to_train.txt": "train", "trials_to_test.txt": "test"}
LABELS_SUFFIX = "_labels.csv"
COLUMNS = "class,startTime_usec,endTime_usec"
N_CLASSES = 11
MAX_FALL_US = 1_000_000
"""How far back times of a recording may step; beyond, the clock was set anew and does not fit the list of gestures."""
BLOCK_EVENTS = 2**16
MAX_TEXT_BYTES = 2**20


class Gesture(NamedTuple):
    """A row of a list of gestures: label from 0, first microsecond, and the first one after it."""

    label: int
    start_us: int
    end_us: int


def place_of(parts: tuple[str, ...]) -> Place | None:
    """ibmGestureTrain/userNN_LIGHT/CLASS.npy of tonic, or userNN_LIGHT.aedat of the authors."""
    stem, _, suffix = parts[-1].rpartition(".")
    if suffix == "aedat":
        return Place()
    if suffix != "npy":
        return None
    splits = [FOLDERS[part] for part in parts[:-2] if part in FOLDERS]
    if not splits or not stem.isdecimal() or int(stem) >= N_CLASSES:
        raise ValueError(f"is no user's gesture 0.npy to {N_CLASSES - 1}.npy within {' or '.join(FOLDERS)}")
    return Place(splits[-1], int(stem))


def with_lists(files: list[DataFile], texts: Mapping[tuple[str, ...], Path], progress: Progress) -> list[DataFile]:
    """Return the authors' recordings with the split that the lists of their folder say, and their lists of gestures.

    Files of tonic have both in their names. Recordings that no list has are left out. Raises UserError if a list is
    missing, or a recording is in both.
    """
    if any(file.split for file in files):
        return files
    found: list[DataFile] = []
    split_of: dict[tuple[str, ...], str] = {}
    for folder, file in {file.parts[:-1]: file for file in files}.items():
        split_of |= _splits(folder, file, texts)
    for file in files:
        split = split_of.get(file.parts)
        labels = (*file.parts[:-1], file.parts[-1].removesuffix(".aedat") + LABELS_SUFFIX)
        if split is not None and labels not in texts:
            raise UserError(f"{file.name}: {labels[-1]}, which lists its gestures, does not lie beside it")
        if split is not None:
            found.append(replace(file, split=split, labels=texts[labels]))
    if len(found) < len(files):
        progress(f"dvs-gesture: {len(files) - len(found)} recordings that are in none of the lists left out")
    if len(found) < len(split_of):
        progress(f"dvs-gesture: {len(found)} of the {len(split_of)} recordings in the lists are there")
    return found


def _splits(
    folder: tuple[str, ...], file: DataFile, texts: Mapping[tuple[str, ...], Path]
) -> dict[tuple[str, ...], str]:
    """Return the split of the recordings that the lists of the folder of `file` name."""
    found: dict[tuple[str, ...], str] = {}
    for name, split in LISTS.items():
        if (*folder, name) not in texts:
            raise UserError(f"{file.name}: {name}, which says the split, does not lie beside it")
        for line in _lines(texts[*folder, name], "/".join((*folder, name))):
            if found.setdefault((*folder, line), split) != split:
                raise UserError(f"{line} is in both of {' and '.join(LISTS)}")
    return found


def read_gestures(path: Path, name: str) -> list[Gesture]:
    """Return the gestures that a list names, by their ends; raises UserError for a row that can be none."""
    lines = _lines(path, name)
    if not lines or lines[0].replace(" ", "") != COLUMNS:
        raise UserError(f"{name}: the first line must be {COLUMNS}")
    return sorted(
        (_gesture(line, f"{name}: {line[:80]!r}") for line in lines[1:]), key=lambda row: (row.end_us, row.start_us)
    )


def _gesture(line: str, where: str) -> Gesture:
    words = [word.strip() for word in line.split(",")]
    if len(words) != 3 or not all(word.isascii() and word.isdecimal() and len(word) <= 15 for word in words):
        raise UserError(f"{where}: must be three whole numbers, {COLUMNS}")
    label, start, end = (int(word) for word in words)
    if not 1 <= label <= N_CLASSES:
        raise UserError(f"{where}: the class must be 1 to {N_CLASSES}")
    if start >= end:
        raise UserError(f"{where}: the gesture must end after it starts")
    return Gesture(label - 1, start, end)


def _lines(path: Path, name: str) -> list[str]:
    """Return the lines of a text file that are not empty."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise UserError(f"{name}: is longer than the {MAX_TEXT_BYTES} bytes of a list")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is no text ({error.reason} at byte {error.start})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_file(file: DataFile) -> Iterator[Part]:
    """One gesture of tonic (columns x, y, p, t in milliseconds), or those of a recording, each in order of time."""
    if file.labels is None or file.split is None:
        options = ReadOptions("event-array", columns="xypt", time_unit="ms", sensor_size=SET.sensor_size, sort=True)
        yield from recorded(file, options)
        return
    options = ReadOptions("aedat3", sensor_size=SET.sensor_size, sort=True, chunk_events=BLOCK_EVENTS)
    gestures = read_gestures(file.labels, file.parts[-1].removesuffix(".aedat") + LABELS_SUFFIX)
    recording = aedat3.event_blocks(file.path, aedat3.read_header(file.path), options, [])
    for gesture, blocks in cut(recording, gestures):
        sample = Sample(None, name=f"{_named(gesture)}, ")
        for item in recordings_of(blocks, sample, options):
            yield Part(file.split, gesture.label, not item.continues, item)


def cut(recording: Iterator[Block], gestures: list[Gesture]) -> Iterator[tuple[Gesture, list[Block]]]:
    """Yield the events of every gesture, t from its start; gestures may overlap, and only open ones are held.

    gestures: by their ends. Raises UserError for a gesture without events or with more than 2^24, and for a clock that
    falls by more than MAX_FALL_US.
    """
    latest: int | None = None
    waiting: list[tuple[Gesture, list[Block]]] = [(gesture, []) for gesture in gestures]
    for block in recording:
        if not len(block.t):
            continue
        latest = _latest(block, latest)
        for gesture, held in waiting:
            _hold(block, gesture, held)
        while waiting and waiting[0][0].end_us + MAX_FALL_US <= latest:
            yield _with_events(*waiting.pop(0))
    for gesture, held in waiting:
        yield _with_events(gesture, held)


def _latest(block: Block, before: int | None) -> int:
    """Return the latest time up to the end of a block."""
    latest = np.maximum.accumulate(block.t if before is None else np.maximum(block.t, before))
    fallen = np.flatnonzero(latest - block.t > MAX_FALL_US)
    if len(fallen):
        at = fallen[0]
        raise UserError(
            f"the clock falls from {latest[at]} to {block.t[at]} us; more than {MAX_FALL_US} us back, the list of "
            "gestures does not say what is meant"
        )
    return int(latest[-1])


def _hold(block: Block, gesture: Gesture, held: list[Block]) -> None:
    inside = (block.t >= gesture.start_us) & (block.t < gesture.end_us)
    if inside.any():
        held.append(Block(block.x[inside], block.y[inside], block.p[inside], block.t[inside] - gesture.start_us))
    if sum(len(part.t) for part in held) > MAX_SORTED_EVENTS:
        raise UserError(f"{_named(gesture)} has more than {MAX_SORTED_EVENTS} events; that is the largest allowed")


def _with_events(gesture: Gesture, held: list[Block]) -> tuple[Gesture, list[Block]]:
    if not held:
        raise UserError(f"{_named(gesture)} has no valid event; the list does not belong to the recording")
    return gesture, held


def _named(gesture: Gesture) -> str:
    return f"the gesture from {gesture.start_us} to {gesture.end_us} us"


SET = PublishedSet(
    task="dvs-gesture",
    layout="DvsGesture/userNN_LIGHT.aedat with userNN_LIGHT_labels.csv, trials_to_train.txt and trials_to_test.txt "
    "beside it, or tonic's ibmGestureTrain/userNN_LIGHT/CLASS.npy and ibmGestureTest/userNN_LIGHT/CLASS.npy with CLASS "
    "0 to 10, or the archives of either",
    sensor_size=(128, 128, 2),
    place_of=place_of,
    read=read_file,
    tonic=TonicSet("DVSGesture", "DVSGesture", ({"train": True}, {"train": False})),
    texts=Texts(lambda name: name in LISTS or name.endswith(LABELS_SUFFIX), with_lists),
)


@register_task("dvs-gesture", "DVS128 Gesture: 11 hand gestures (task.path: folder)", downloads=True)
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load the official splits (users 1 to 23 and 24 to 29), or what is there of them."""
    return load_published(SET, settings, base_dir, seed, progress)
