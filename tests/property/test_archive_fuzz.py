"""Damaged archives and folders: an error in one sentence, or exactly the content of the undamaged ones.

What can be seen is what carries a check sum: everything in a zip, a packed tar or a packed file, and the headers of a
plain tar. The content of a plain tar and of loose `.bin` files carries none: there, what comes out has the same files
under the same names, or a sentence.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurochip import convert_sources
from neurochip.archives import unpacked
from neurochip.convert import convert
from neurochip.errors import UserError

N_FLIPS, N_CUTS, N_CONVERTED = 200, 60, 12


def recording(seed: int) -> bytes:
    """Twelve events of N-MNIST with ascending times."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 2**16, 12))
    x, y, p = rng.integers(0, 34, 12), rng.integers(0, 34, 12), rng.integers(0, 2, 12)
    return np.stack([x, y, p << 7, t >> 8, t & 255], axis=1).astype(np.uint8).tobytes()


NAMES = [f"{split}/{name}/{k}.bin" for split in ("train", "test") for name in ("cat", "dög") for k in range(2)]
FILES = {name: recording(number) for number, name in enumerate(NAMES)}
LONG = {f"train/{'long folder ' * 12}/1.bin": recording(99)}  # takes a header of its own in a tar


def tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in (FILES | LONG).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in (FILES | LONG).items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "pax.tar": tar,
    "gnu.tar": lambda: tar(tarfile.GNU_FORMAT),
    "a.tar.gz": lambda: gzip.compress(tar(), mtime=0),
    "a.tar.bz2": lambda: bz2.compress(tar()),
    "a.tar.xz": lambda: lzma.compress(tar()),
    "packed.zip": lambda: zipped(zipfile.ZIP_DEFLATED),
    "stored.zip": lambda: zipped(zipfile.ZIP_STORED),
    "a.npy.gz": lambda: gzip.compress(FILES[NAMES[0]], mtime=0),
}


def read(path: Path) -> dict[str, bytes] | str:
    """The files of an archive, or the sentence that refuses it; any other exception fails the test."""
    place = path.parent / "place"
    try:
        return {name: place.read_bytes() for name, _ in unpacked(path, place)}
    except UserError as error:
        sentence = str(error)
    assert sentence.startswith(str(path)) and "\n" not in sentence
    return sentence


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Change one bit, or one byte, or a few."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 1, 3])):
        at = rng.randrange(len(data))
        changed[at] = rng.choice([changed[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    return bytes(changed)


def cuts(data: bytes, n: int, rng: random.Random) -> Iterator[bytes]:
    """The beginnings of a file, of random lengths and of those that end with a block of a tar."""
    for _ in range(n):
        yield data[: rng.choice([rng.randrange(len(data)), rng.randrange(len(data) // 512 + 1) * 512])]


@pytest.mark.parametrize("name", ARCHIVES)
def test_flipped_bits_of_an_archive_are_seen(tmp_path: Path, name: str) -> None:
    data, path, rng = ARCHIVES[name](), tmp_path / name, random.Random(f"flips of {name}")
    path.write_bytes(data)
    whole = read(path)
    assert isinstance(whole, dict) and len(whole) == (1 if name.endswith("npy.gz") else len(FILES) + 1)
    refused = 0
    for _ in range(N_FLIPS):
        path.write_bytes(flipped(data, rng))
        found = read(path)
        refused += isinstance(found, str)
        if isinstance(found, dict) and not name.endswith(".tar"):
            assert found == whole
    assert refused > N_FLIPS // 4


@pytest.mark.parametrize("name", ["pax.tar", "gnu.tar"])
def test_flipped_bits_in_the_headers_of_a_plain_tar_are_seen(tmp_path: Path, name: str) -> None:
    data, path, rng = ARCHIVES[name](), tmp_path / name, random.Random(f"headers of {name}")
    path.write_bytes(data)
    whole = read(path)
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(N_FLIPS):
        changed = bytearray(data)
        changed[rng.choice(headers) + rng.randrange(512)] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        found = read(path)
        assert isinstance(found, str) or found == whole


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_was_cut_is_whole_or_refused(tmp_path: Path, name: str) -> None:
    data, path, rng = ARCHIVES[name](), tmp_path / name, random.Random(f"cuts of {name}")
    path.write_bytes(data)
    whole = read(path)
    for cut in cuts(data, N_CUTS, rng):
        path.write_bytes(cut)
        found = read(path)
        assert isinstance(found, str) or found == whole


def converted(source: Path, out: Path) -> list[object] | str:
    """What an event file holds, or the sentence that refuses its source."""
    out.unlink(missing_ok=True)
    sentence = ""
    try:
        convert(source, out)
    except UserError as error:
        sentence = str(error)
    assert out.exists() != bool(sentence) and "\n" not in sentence
    if sentence:
        return sentence
    with h5py.File(out) as file:
        names = [str(name) for name in file.attrs["class_names"]]
        return [names, *((f"{split}/{key}", file[split][key][:].tolist()) for split in file for key in file[split])]


@pytest.mark.parametrize("name", [name for name in ARCHIVES if not name.endswith((".tar", ".npy.gz"))])
def test_a_damaged_archive_converts_to_the_same_or_not_at_all(tmp_path: Path, name: str) -> None:
    data, path, rng = ARCHIVES[name](), tmp_path / name, random.Random(f"conversion of {name}")
    path.write_bytes(data)
    whole = converted(path, tmp_path / "out.h5")
    assert isinstance(whole, list)
    for damaged in [*(flipped(data, rng) for _ in range(N_CONVERTED)), *cuts(data, N_CONVERTED // 3, rng)]:
        path.write_bytes(damaged)
        found = converted(path, tmp_path / "out.h5")
        assert isinstance(found, str) or found == whole
    assert sorted(item.name for item in tmp_path.iterdir()) in ([name], [name, "out.h5"])


def test_a_tree_with_a_damaged_archive_converts_to_the_same_or_not_at_all(tmp_path: Path) -> None:
    data, rng = ARCHIVES["a.tar.gz"](), random.Random("trees")
    source, loose = tmp_path / "in", {name: content for name, content in FILES.items() if name.startswith("test")}
    for name, content in loose.items():
        (source / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        (source / "more" / name).write_bytes(content[:-5])
    (source / "a.tar.gz").write_bytes(data)
    whole = converted(source, tmp_path / "out.h5")
    assert isinstance(whole, list)
    victims = [source / "a.tar.gz", *sorted((source / "more").rglob("*.bin"))]
    for _ in range(N_CONVERTED):
        victim = rng.choice(victims)
        kept = victim.read_bytes()
        # Loose files have no check sum: they are cut within an event, which can be seen.
        victim.write_bytes(kept[: -rng.randrange(1, 5)] if victim.suffix == ".bin" else flipped(kept, rng))
        found = converted(source, tmp_path / "out.h5")
        assert isinstance(found, str) or found == whole
        assert victim.suffix != ".bin" or isinstance(found, str)
        victim.write_bytes(kept)
    assert converted(source, tmp_path / "out.h5") == whole


def test_no_file_of_a_tree_vanishes(tmp_path: Path) -> None:
    rng = random.Random("vanishing")
    for case in range(40):
        root = tmp_path / str(case)
        expected = 0
        for number in range(rng.randrange(1, 12)):
            parts = [rng.choice("ab.c ") + rng.choice("de") for _ in range(rng.randrange(1, 4))]
            file = root.joinpath(*parts, f"{number}.bin")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
            expected += not any(part.startswith(".") for part in parts)
        try:
            assert len(convert_sources.find_files(root).files) == expected
        except UserError:
            assert expected == 0
