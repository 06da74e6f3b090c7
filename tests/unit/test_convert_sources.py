"""Is every file of a folder tree either read, listed as a document, or refused by its name?"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from convert_inputs import draw, nmnist, nmnist_tree, put, refused, run

from neurochip.convert_sources import find_files
from neurochip.errors import UserError


def test_linked_folders_and_files_are_read(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in", ("3",))
    nmnist_tree(tmp_path / "other", ("7",))
    for split in ("Train", "Test"):
        (tmp_path / "in" / split / "7").symlink_to(tmp_path / "other" / split / "7")
    (tmp_path / "in" / "Test" / "3" / "9.bin").symlink_to(put(tmp_path / "elsewhere", nmnist(draw(9))))
    assert run(tmp_path / "in", tmp_path / "out.h5").splits == {"test": (7, 280), "train": (6, 240)}


def test_files_come_in_the_order_of_the_names_on_the_way(tmp_path: Path) -> None:
    names = ["a/x", "a.b/x", "a-b/x", "B/x", "a/b/x", "a/bb", "c"]
    for name in names:
        put(tmp_path / name, b"x")
    found = [path.relative_to(tmp_path).parts for path in find_files(tmp_path).files]
    assert found == sorted(tuple(name.split("/")) for name in names)


def test_hidden_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    put(tmp_path / "in" / ".cache" / "3" / "1.bin", b"anything")
    put(tmp_path / "in" / "__MACOSX" / "3" / "1.bin", b"anything")
    (tmp_path / "in" / ".link").symlink_to("nowhere")
    assert run(tmp_path / "in", tmp_path / "out.h5").splits == {"test": (6, 240), "train": (6, 240)}


def test_what_is_neither_file_nor_folder_is_refused_by_name(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    odd = tmp_path / "in" / "Train" / "3" / "odd.bin"
    odd.symlink_to("nowhere")
    assert refused(tmp_path) == f"{odd} is a link to nothing; remove it"
    odd.unlink()
    os.mkfifo(odd)
    assert refused(tmp_path) == f"{odd} is neither a file nor a folder; remove it"


def test_a_link_to_a_folder_around_it_is_refused(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    link = tmp_path / "in" / "Train" / "3" / "again"
    link.symlink_to(tmp_path / "in" / "Train")
    assert refused(tmp_path) == f"{link} is a link to a folder around it; remove it"


def test_a_folder_that_cannot_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nmnist_tree(tmp_path / "in")
    closed, listed = tmp_path / "in" / "Train" / "7", Path.iterdir

    def iterdir(self: Path) -> Any:
        if self == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(UserError, match=rf"^{closed}: this folder cannot be read \(Permission denied\)$"):
        run(tmp_path / "in", tmp_path / "out.h5")
