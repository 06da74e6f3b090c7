"""Small data sets in the published layouts, written from their descriptions without the code that reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import h5py
import numpy as np
from true_formats import Events, aedat2, aedat3, aedat4, idx_images, idx_labels, nmnist_bin, some_events, write_shd

Rows = list[list[int]]


class Sample(NamedTuple):
    """A recording that was written: its label, and x, y, p, t of every event."""

    label: int
    rows: Rows


Written = dict[str, list[Sample]]


def settings(name: str, path: Path | None, **changes: Any) -> SimpleNamespace:
    """Return the settings of a task with 4 steps."""
    values = {"name": name, "path": None if path is None else str(path), "steps": 4, "repeat": "once", "classes": None}
    values |= {"sensor_size": None, "crop": None, "validation": None, "event_bits": 1}
    values |= {"download": False, "transforms": None}
    return SimpleNamespace(**(values | changes))


def rows(events: Events) -> Rows:
    """Return the events as lists of x, y, p, t."""
    return np.stack([*events], axis=1).tolist()


def put(path: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def nmnist(root: Path, digits: tuple[int, ...] = (2, 9), each: int = 3) -> Written:
    """Train/DIGIT/NAME.bin."""
    made: Written = {}
    for folder, split in (("Train", "train"), ("Test", "test")):
        for digit in digits:
            for index in range(each):
                events = some_events(30, seed=1000 * len(split) + 10 * digit + index)
                put(root / folder / str(digit) / f"{index:05}.bin", nmnist_bin(events))
                made.setdefault(split, []).append(Sample(digit, rows(events)))
    return made


def poker_pips(root: Path, each: int = 2) -> Written:
    """pips_train/SUIT/NAME.npy, uint64 [n, 4] of t, x, y, p."""
    made: Written = {}
    for split in ("train", "test"):
        for label, suit in sorted(enumerate(("cl", "he", "di", "sp")), key=lambda pair: pair[1]):
            for index in range(each):
                e = some_events(25, seed=100 * len(split) + 10 * label + index, side=35)
                put_array(
                    root / f"pips_{split}" / suit / f"{index}.npy", np.stack([e.t, e.x, e.y, e.p], 1).astype("u8")
                )
                made.setdefault(split, []).append(Sample(label, rows(e)))
    return made


def poker_aedat(root: Path, each: int = 10) -> list[Sample]:
    """xSUITnn.aedat, AEDAT 2; no splits."""
    made = []
    for name, label in (("xclub", 0), ("xdiamond", 2), ("xheart", 1), ("xspade", 3)):
        for index in range(1, each + 1):
            events = some_events(25, seed=10 * label + index, side=35)
            put(root / f"{name}{index:02}.aedat", aedat2(events))
            made.append(Sample(label, rows(events)))
    return made


def dvs_gesture(root: Path, each: int = 1) -> Written:
    """ibmGestureTrain/userNN_LIGHT/CLASS.npy, float [n, 4] of x, y, p and milliseconds, not in order of time."""
    made: Written = {}
    for folder, split, users in (("ibmGestureTrain", "train", (1, 2)), ("ibmGestureTest", "test", (24,))):
        for user in users[:each] if each < 2 else users:
            for label in (0, 10, 3):  # 10 stands before 3 in the order of names
                e = some_events(25, seed=100 * user + label, side=128)
                array = np.stack([e.x, e.y, e.p, e.t], 1).astype(float)[::-1]
                put_array(root / folder / f"user{user:02}_fluorescent_led" / f"{label}.npy", array)
                events = Events(e.x, e.y, e.p, e.t * 1000)
                made.setdefault(split, []).append(Sample(label, rows(events)))
    return made


def gestures_of(seed: int, rows_of_list: list[tuple[int, int, int]]) -> tuple[bytes, str, list[Sample]]:
    """A recording of AEDAT 3.1 whose times step back now and then, its list of gestures, and what these hold."""
    e = some_events(600, seed=seed, side=128, last_us=9_000_000)
    e = e._replace(t=e.t + 2**31 - 4_000_000)
    e.t[100:500:7] -= 30_000
    made = []
    for label, start, end in rows_of_list:
        inside = np.flatnonzero((e.t >= start) & (e.t < end))
        inside = inside[np.argsort(e.t[inside], kind="stable")]
        events = Events(*(column[inside] for column in e))
        made.append(Sample(label - 1, rows(events._replace(t=events.t - start))))
    text = "class,startTime_usec,endTime_usec\r\n" + "".join(f"{a},{b},{c}\r\n" for a, b, c in rows_of_list)
    return aedat3(e, per_packet=50), text, made


def dvs_gesture_authors(root: Path) -> Written:
    """DvsGesture/userNN_LIGHT.aedat, a list of gestures for each, two lists of recordings, and other texts."""
    folder, made = root / "DvsGesture", Written()
    zero = 2**31 - 4_000_000
    users = {"user01_led": "train", "user02_lab": "train", "user24_led": "test", "user25_natural": "no list"}
    for seed, (user, split) in enumerate(users.items()):
        spans = [
            (1, 500_000, 2_000_000),
            (11, 2_100_000, 4_200_000),
            (4, 4_100_000, 5_000_000),
            (4, 7_000_000, 9_999_999),
        ]
        gestures = [(label, zero + start + seed, zero + end) for label, start, end in spans]
        recording, text, samples = gestures_of(seed, gestures)
        put(folder / f"{user}.aedat", recording)
        put(folder / f"{user}_labels.csv", text.encode())
        if split != "no list":
            made.setdefault(split, []).extend(samples)
    put(folder / "trials_to_train.txt", b"user01_led.aedat\nuser02_lab.aedat\nuser03_led.aedat\n\n")
    put(folder / "trials_to_test.txt", b"user24_led.aedat\r\n")
    for name in ("README.txt", "LICENSE.txt", "gesture_mapping.csv", "errata.txt"):
        put(folder / name, b"what else the authors say")
    return made


def cifar10_dvs(root: Path, suffix: str = "aedat4", each: int = 10) -> list[Sample]:
    """CLASS/NAME.aedat4 or CLASS/NAME.aedat; no splits."""
    made = []
    for label, name in ((0, "airplane"), (9, "truck")):
        for index in range(each):
            events = some_events(40, seed=100 * label + index, side=128)
            data = aedat4(events, streams=CIFAR_STREAM) if suffix == "aedat4" else aedat2(events)
            put(root / name / f"cifar10_{name}_{index}.{suffix}", data)
            start = int(events.t[0]) if suffix == "aedat4" else 0
            made.append(Sample(label, rows(events._replace(t=events.t - start))))
    return made


CIFAR_STREAM = """<node name="0"><attr key="compression" type="string">NONE</attr>
<attr key="typeIdentifier" type="string">EVTS</attr><node name="info">
<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr></node></node>
<node name="1"><attr key="typeIdentifier" type="string">IMUS</attr></node>"""


def ncaltech101(root: Path, each: int = 5) -> list[Sample]:
    """CLASS/image_NNNN.bin of several sizes; capital letters stand first in the order of names; no splits."""
    made = []
    for label, (name, side) in enumerate((("Motorbikes", 180), ("accordion", 120))):
        for index in range(1, each + 1):
            events = some_events(40, seed=100 * label + index, side=side)
            put(root / "Caltech101" / name / f"image_{index:04}.bin", nmnist_bin(events))
            made.append(Sample(label, rows(events)))
        put(root / "Caltech101_annotations" / name / "annotation_0001.bin", b"boxes, not events")
    return made


def spoken(root: Path, names: dict[str, str]) -> Written:
    """Files of SHD and SSC: seconds in float16, units and labels."""
    made: Written = {}
    root.mkdir(parents=True, exist_ok=True)
    for number, (name, split) in enumerate(names.items()):
        labels = [4, 17, 4, 17]
        random = np.random.default_rng(number)
        samples = []
        for label in labels:
            seconds = np.sort(random.uniform(0, 1, 20)).astype(np.float16)
            units = random.integers(0, 700, 20)
            samples.append((seconds.tolist(), units.tolist()))
            times = np.rint(seconds.astype(np.float64) * 1e6).astype(int).tolist()
            events = [[int(unit), 0, 0, t] for unit, t in zip(units, times, strict=True)]
            made.setdefault(split, []).append(Sample(label, events))
        write_shd(root / name, samples, labels)
    return made


def ntidigits(root: Path) -> Written:
    """n-tidigits.hdf5: names of recordings, and per name channels and seconds, not in order; sequences too."""
    made: Written = {}
    root.mkdir(parents=True, exist_ok=True)
    digits = {"o": 0, "3": 3, "z": 10}
    with h5py.File(root / "n-tidigits.hdf5", "w") as file:
        for number, split in enumerate(("train", "test")):
            names = [f"man-a{speaker}-{digit}" for speaker in "bc" for digit in ("o", "z", "34", "3")]
            file[f"{split}_labels"] = np.array(names, dtype="S")
            for index, name in enumerate(names):
                random = np.random.default_rng(100 * number + index)
                seconds, channels = np.sort(random.uniform(0, 2, 15)), random.integers(0, 64, 15)
                file[f"{split}_timestamps/{name}"] = seconds.astype(np.float32)[::-1]
                file[f"{split}_addresses/{name}"] = channels.astype(np.uint8)[::-1]
                times = np.rint(seconds.astype(np.float32).astype(np.float64) * 1e6).astype(int).tolist()
                events = [[int(channel), 0, 0, t] for channel, t in zip(channels, times, strict=True)]
                digit = name.split("-")[-1]
                if digit in digits:
                    made.setdefault(split, []).append(Sample(digits[digit], events))
    return made


def mnist(root: Path, packed: bool = False) -> dict[str, np.ndarray]:
    """The four files of MNIST with 8 and 6 images of strokes; returns the images."""
    root.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, split, n in (("train", "train", 8), ("t10k", "test", 6)):
        random = np.random.default_rng(n)
        images = (random.integers(0, 256, (n, 28, 28)) * (random.random((n, 28, 28)) < 0.2)).astype(np.uint8)
        images[random.random((n, 28, 28)) < 0.05] = 255
        labels = np.arange(n, dtype=np.uint8) % 2 + 7
        suffix = ".gz" if packed else ""
        (root / f"{name}-images-idx3-ubyte{suffix}").write_bytes(idx_images(images, packed))
        (root / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(idx_labels(labels, packed))
        made[split] = images
    return made


SHD = {"shd_test.h5": "test", "shd_train.h5": "train"}
SSC = {"ssc_test.h5": "test", "ssc_train.h5": "train", "ssc_valid.h5": "validation"}
WITH_SPLITS: dict[str, Callable[[Path], Written]] = {
    "nmnist": nmnist,
    "poker-dvs": poker_pips,
    "dvs-gesture": lambda root: dvs_gesture(root, each=2),
    "dvs-gesture, authors": dvs_gesture_authors,
    "shd": lambda root: spoken(root, SHD),
    "ssc": lambda root: spoken(root, SSC),
    "ntidigits": ntidigits,
}
WITHOUT_SPLITS: dict[str, tuple[str, Callable[[Path], list[Sample]], float]] = {
    "poker-dvs": ("poker-dvs", poker_aedat, 0.3),
    "cifar10-dvs": ("cifar10-dvs", cifar10_dvs, 0.1),
    "cifar10-dvs, AEDAT 2": ("cifar10-dvs", lambda root: cifar10_dvs(root, "aedat"), 0.1),
    "ncaltech101": ("ncaltech101", ncaltech101, 0.2),
}
