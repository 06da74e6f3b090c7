"""Recordings, images and sounds in their published formats and folders, for the tests of `convert`."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import wave
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurochip.convert import Converted, ConvertOptions, convert
from neurochip.errors import UserError
from neurochip.events import Recordings
from neurochip.readers.recording import ReadOptions

Events = list[tuple[int, int, int, int]]


def draw(seed: int, n: int = 40, size: tuple[int, int, int] = (34, 34, 2)) -> np.ndarray:
    """Events as rows x, y, p, t with ascending times."""
    rng = np.random.default_rng(seed)
    x, y, p = (rng.integers(0, high, n) for high in size)
    return np.stack([x, y, p, np.sort(rng.integers(0, 300_000, n))], axis=1)


def nmnist(events: np.ndarray) -> bytes:
    x, y, p, t = events.T
    return np.stack([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255], axis=1).astype(np.uint8).tobytes()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def nmnist_tree(
    root: Path, classes: Sequence[str] = ("3", "7"), each: int = 3
) -> dict[tuple[str, str], list[np.ndarray]]:
    """Recordings in the layout of N-MNIST."""
    made: dict[tuple[str, str], list[np.ndarray]] = {}
    for split in ("Train", "Test"):
        for name in classes:
            found = [draw(len(made) * 100 + index) for index in range(each)]
            made[split, name] = found
            for index, events in enumerate(found):
                put(root / split / name / f"{index:05}.bin", nmnist(events))
    return made


def rows(recordings: Recordings, index: int) -> list[list[int]]:
    events = recordings.sample(index)
    return [[int(e["x"]), int(e["y"]), int(e["p"]), int(e["t"])] for e in events]


def run(source: Path, out: Path, **options: Any) -> Converted:
    read = options.pop("read", ReadOptions())
    return convert(source, out, ConvertOptions(read=read, **options))


def npy(events: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, events[:, [3, 0, 1, 2]])
    return stream.getvalue()


def poker(tmp_path: Path, form: str) -> Path:
    """Recordings in the layout of POKER-DVS, as archives."""
    for split in ("pips_train", "pips_test"):
        members = {
            f"{split}/{name}/{index}.npy": npy(draw(index, 30, (35, 35, 2)))
            for name in ("cl", "he")
            for index in range(2)
        }
        members |= {f"{split}/README.txt": b"text", f"{split}/._x": b"?"}
        (tmp_path / "in").mkdir(exist_ok=True)
        if form == "zip":
            with zipfile.ZipFile(tmp_path / "in" / f"{split}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        else:
            with tarfile.open(tmp_path / "in" / f"{split}.tar.gz", "w:gz") as tar:
                for name, content in members.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tmp_path / "in"


PIPS = ReadOptions(sensor_size=(35, 35, 2), columns="txyp")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def mnist(folder: Path, n: int = 30) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels in the files of MNIST."""
    made = {}
    for split, prefix, suffix in (("train", "train", ".gz"), ("test", "t10k", "")):
        rng = np.random.default_rng(len(split))
        images, labels = rng.integers(0, 256, (n, 5, 4), dtype=np.uint8), rng.integers(0, 3, n, dtype=np.uint8)
        for name, values in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            content = idx(values)
            put(folder / f"{name}{suffix}", gzip.compress(content) if suffix else content)
        made[split] = images, labels
    return made


def wav(samples: np.ndarray, rate_hz: int = 8000) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()


def broken(tmp_path: Path) -> Path:
    """A tree in which one recording of the class 3 breaks off after some events, larger than the writer's buffer."""
    nmnist_tree(tmp_path / "in", each=4)
    events = draw(77, 4500)
    events[4400:, 3] = 5  # back in time
    return put(tmp_path / "in" / "Train" / "3" / "00001.bin", nmnist(events))


def refused(tmp_path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        run(tmp_path / "in", tmp_path / "out.h5", **options)
    assert not (tmp_path / "out.h5").exists()
    assert not list(tmp_path.glob(".*"))
    return str(caught.value)
