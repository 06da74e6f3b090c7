"""Is an archive read whole or refused, and are files in it found as they are outside of it?"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convert_inputs import PIPS, draw, idx, mnist, nmnist, put, run
from true_formats import write_shd

from neurochip.archives import unpacked
from neurochip.errors import UserError
from neurochip.event_file import read_recordings

FILES = {f"{split}/{name}/{k}.bin": nmnist(draw(k)) for split in ("train", "test") for name in "37" for k in range(3)}


def tar(files: dict[str, bytes] | list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return stream.getvalue()


def content(archive: Path, place: Path) -> dict[str, bytes]:
    return {name: place.read_bytes() for name, _ in unpacked(archive, place)}


def headers(data: bytes) -> list[int]:
    return [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("tar", bytes),
        ("tar.gz", gzip.compress),
        ("tgz", gzip.compress),
        ("tar.bz2", bz2.compress),
        ("tar.xz", lzma.compress),
        ("tar", gzip.compress),  # what it is is told by its content
    ],
)
def test_a_packed_tar_gives_its_files(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = put(tmp_path / f"a.{suffix}", pack(tar(FILES)))
    assert content(path, tmp_path / "place") == FILES
    assert run(path, tmp_path / "out.h5").splits == {"test": (6, 240), "train": (6, 240)}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_damaged_header_does_not_end_a_tar(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    for byte in (3, 130, 150):  # name, size, check sum
        data = bytearray(tar(FILES))
        at = headers(data)[5]
        data[at + byte] ^= 1
        with pytest.raises(UserError, match=rf"a\.tar is damaged or no archive \(bad checksum at byte {at}\)"):
            content(put(tmp_path / "a.tar", pack(bytes(data))), tmp_path / "place")


def test_a_header_of_zeros_does_not_end_a_tar(tmp_path: Path) -> None:
    data = bytearray(tar(FILES))
    at = headers(data)[5]
    data[at : at + 512] = bytes(512)
    with pytest.raises(UserError, match="something follows its end mark"):
        content(put(tmp_path / "a.tar", bytes(data)), tmp_path / "place")


def test_a_tar_without_its_end_mark_is_refused(tmp_path: Path) -> None:
    data = tar(FILES)
    last = headers(data)[-1]
    end = last + 512 + -(-len(FILES["test/7/2.bin"]) // 512) * 512
    assert not any(data[end:])
    for cut, message in ((end, "empty header"), (end + 100, "truncated header"), (last, "empty header")):
        with pytest.raises(UserError, match=rf"damaged or no archive \({message} at byte"):
            content(put(tmp_path / "a.tar", data[:cut]), tmp_path / "place")
    assert content(put(tmp_path / "a.tar", data[: end + 512]), tmp_path / "place") == FILES


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_the_check_sum_behind_the_last_member_is_verified(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = bytearray(pack(tar(FILES)))
    data[-8 if pack is gzip.compress else -14] ^= 1
    with pytest.raises(UserError, match="is damaged or no archive"):
        content(put(tmp_path / "a.tar", bytes(data)), tmp_path / "place")


def test_a_zip_that_lost_members_is_refused(tmp_path: Path) -> None:
    data = zipped(list(FILES.items()))
    assert content(put(tmp_path / "a.zip", data), tmp_path / "place") == FILES
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        second = data.index(b"PK\1\2", archive.start_dir + 4)
    end = data.rindex(b"PK\5\6")
    (size,) = struct.unpack_from("<I", data, end + 12)
    # A directory that begins at its second entry: zipfile takes the 11 members that are left for all.
    shorter = data[: end + 12] + struct.pack("<I", size - (second - archive.start_dir)) + data[end + 16 :]
    shorter = shorter[: end + 16] + struct.pack("<I", second) + shorter[end + 20 :]
    with zipfile.ZipFile(io.BytesIO(shorter)) as archive:
        assert len(archive.infolist()) == 11
    with pytest.raises(UserError, match=r"damaged or no archive \(its directory holds 11 members and its end says 12"):
        content(put(tmp_path / "a.zip", shorter), tmp_path / "place")


def test_more_members_than_16_bits_count_are_read_with_and_without_zip64(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(2**16 + 3):
            archive.writestr(f"1/{number}.bin", b"")
    data = stream.getvalue()
    for one in (data, data[: data.rindex(b"PK\6\6")] + data[data.rindex(b"PK\5\6") :].replace(b"\xff\xff", b"\3\0")):
        path = put(tmp_path / "a.zip", one)
        assert sum(1 for _ in unpacked(path, tmp_path / "place")) == 2**16 + 3


def test_a_name_that_directory_and_member_code_differently_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped([("train/é/1.bin", b"x")]))
    at = data.rindex(b"PK\1\2")
    data[at + 9] ^= 8  # bit 11 of the flags: the name is UTF-8
    with pytest.raises(UserError, match=r"its directory and the header of .* differ"):
        content(put(tmp_path / "a.zip", bytes(data)), tmp_path / "place")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("suffix", "pack"), [("zip", zipped), ("tar", tar)])
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path, suffix: str, pack: Callable[[Any], bytes]) -> None:
    files = [*FILES.items(), ("train/3/1.bin", FILES["train/3/2.bin"])]
    with pytest.raises(UserError, match=r"a\.\w+: the archive holds train/3/1\.bin twice; one of them is allowed"):
        run(put(tmp_path / f"a.{suffix}", pack(files)), tmp_path / "out.h5")


def test_a_packed_file_is_read_as_the_file(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_shd(tmp_path / "whole", [([0.1], [3]), ([0.2], [5])], [0, 1])
        put(tmp_path / "in" / f"shd_{split}.h5.gz", gzip.compress((tmp_path / "whole").read_bytes()))
    done = run(tmp_path / "in", tmp_path / "out.h5")
    assert done.splits == {"test": (2, 2), "train": (2, 2)}
    damaged = tmp_path / "in" / "shd_test.h5.gz"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"shd_test\.h5\.gz is damaged or no archive"):
        run(tmp_path / "in", tmp_path / "other.h5")


def test_a_packed_recording_is_of_the_class_of_its_folder(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, draw(1)[:, [3, 0, 1, 2]])
    for split in ("train", "test"):
        put(tmp_path / "in" / split / "cat" / "1.npy.gz", gzip.compress(stream.getvalue()))
    assert run(tmp_path / "in", tmp_path / "out.h5", read=PIPS).class_names == ("cat",)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize("backwards", [False, True])
def test_mnist_in_an_archive_finds_its_labels(tmp_path: Path, suffix: str, backwards: bool) -> None:
    mnist(tmp_path / "loose")
    run(tmp_path / "loose", tmp_path / "loose.h5", encoder="latency")
    files = [(f"gzip/{path.name}", path.read_bytes()) for path in sorted((tmp_path / "loose").iterdir())]
    files = files[::-1] if backwards else files
    packed = zipped(files) if suffix == "zip" else gzip.compress(tar(files))
    run(put(tmp_path / f"mnist.{suffix}", packed), tmp_path / "out.h5", encoder="latency")
    for split in ("train", "test"):
        loose, archived = (read_recordings(tmp_path / name, split) for name in ("loose.h5", "out.h5"))
        assert loose.labels.tolist() == archived.labels.tolist()
        assert (loose.t.tolist(), loose.offsets.tolist()) == (archived.t.tolist(), archived.offsets.tolist())


def test_mnist_in_an_archive_without_labels_is_refused(tmp_path: Path) -> None:
    files = [("train-images-idx3-ubyte", idx(np.zeros((2, 3, 3), np.uint8)))]
    with pytest.raises(UserError) as caught:
        run(put(tmp_path / "mnist.zip", zipped(files)), tmp_path / "out.h5")
    name = f"{tmp_path / 'mnist.zip'}:train-images-idx3-ubyte"
    assert str(caught.value) == f"{name}: labels in train-labels-idx1-ubyte beside it: no such file"


def test_a_full_temporary_folder_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "train.zip", zipped(list(FILES.items())))
    opened = Path.open

    class Full(io.BytesIO):
        def write(self, block: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(self: Path, mode: str = "r", *rest: Any) -> Any:
        return Full() if mode == "wb" and self.name == "member" else opened(self, mode, *rest)

    monkeypatch.setattr(Path, "open", full)
    for skip_damaged in (False, True):
        with pytest.raises(
            UserError, match=r"^the temporary folder .* takes no file of .*train\.zip \(No space left .*; TMPDIR names"
        ):
            run(path, tmp_path / "out.h5", skip_damaged=skip_damaged)


def test_no_temporary_folder_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    path = put(tmp_path / "train.zip", zipped(list(FILES.items())))
    with pytest.raises(UserError, match=r"^no temporary folder can be made \(No such file .*\); TMPDIR names one$"):
        run(path, tmp_path / "out.h5", skip_damaged=True)


def test_an_archive_that_cannot_be_opened_is_not_said_to_be_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "train.tar", tar(FILES))

    def denied(self: Path, *rest: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match=r"train\.tar cannot be read \(Permission denied\)"):
        content(path, tmp_path / "place")
