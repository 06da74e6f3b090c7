"""Is a file told by its content, and if it is not read, is it said what it is and what to do?"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pytest
import true_formats
from true_formats import joined, some_events

from neurochip.errors import UserError
from neurochip.readers import read, sniff


def written(folder: Path, data: bytes) -> Path:
    path = folder / "data"
    path.write_bytes(data)
    return path


def test_dat_says_its_version_with_or_without_a_colon(tmp_path: Path) -> None:
    events = some_events()
    for said in (b"% Version: 2\n", b"%Version 2\n", b"% version:2\n", b"% Version 2 \r\n"):
        path = written(tmp_path, true_formats.prophesee_dat(events, b"% Date 2024-05-01 10:00:00\n" + said))
        assert sniff(path).name == "prophesee-dat"
        np.testing.assert_array_equal(joined(list(read(path))), events)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"% Width 640\n% Height 480\n", r"says 640 x 480 pixels and no version; before version 2 .* 512 x 256"),
        (b"% Version 1\n% Width 304\n% Height 257\n", r"304 x 257 pixels and version 1; before version 2"),
        (b"% Version 3\n", "header says version 3; read are versions 1 and 2"),
        (b"% Version 2.0\n", "header says version '2.0'; it must be an integer"),
        (b"% Version 2\n% Width 640\n% Height 0\n", "from 1 to 32767"),
    ],
)
def test_a_dat_header_that_does_not_fit_is_said_without_being_told_the_format(
    tmp_path: Path, text: bytes, message: str
) -> None:
    path = written(tmp_path, true_formats.prophesee_dat(some_events(), text))
    with pytest.raises(UserError, match=message):
        read(path)


def test_dat_events_of_another_type_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="events of type 14 with 16 bytes; read are types 0"):
        read(written(tmp_path, b"% Version 2\n\x0e\x10" + bytes(16)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"% evt 2.0\n\x00\x08", "Prophesee RAW; convert it to .dat with Metavision"),
        (
            b"% camera_integrator_name Prophesee\n% date 2023-03-29 16:37:46\n% evt 3.0\n% end\n\x0c\x08",
            "this is Prophesee RAW",
        ),
        (b"% date 2023-03-29 16:37:46\n% format EVT21;height=720;width=1280\nxx", "this is Prophesee RAW"),
        (b"% Version 2\n% format EVT3; height = 720; width = 1280\nxx", "this is Prophesee RAW"),
        (b"% some text\nhello", "no known format"),
        (b"%" * 60000 + b"\n", "no known format"),
        (bytes(5000), "a file of zeros, at least its first 5000 bytes, as a failed download leaves"),
        (gzip.compress(b"\x89HDF"), "a gzip file that holds no MNIST; unpack it with gunzip"),
        (lzma.compress(b"x"), "an xz file; unpack it with unxz, or name it .tar.xz"),
        (bz2.compress(b"x"), "a bzip2 file; unpack it with bunzip2"),
        (tarfile.TarInfo("a").tobuf() + bytes(1024), "a tar archive; unpack it, or name it .tar"),
    ],
)
def test_files_that_are_known_and_not_read_are_refused_with_what_to_do(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sniff(written(tmp_path, data))
