"""Can a user leave out files and folders by name, is what is left out told, and does a sentence say when to?"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from pathlib import Path

import pytest
from convert_inputs import PIPS, draw, nmnist, nmnist_tree, poker, put, refused, run


def beside_the_pips(tmp_path: Path) -> Path:
    """The published folder of POKER-DVS: an archive of recordings in another format, of no split, beside the pips."""
    poker(tmp_path, "tar.gz")
    archive, content = tmp_path / "in" / "poker_dvs.tar.gz", b"#!AER-DAT2.0\r\n" + bytes(80)
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("xclub01.aedat")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive


def test_an_archive_outside_of_the_splits_is_refused_with_the_option_that_leaves_it_out(tmp_path: Path) -> None:
    archive = beside_the_pips(tmp_path)
    sentence = refused(tmp_path, read=PIPS)
    assert sentence == (
        f"{archive}:xclub01.aedat: lies outside of the splits test, train; "
        "--exclude poker_dvs.tar.gz leaves the archive out"
    )
    done = run(tmp_path / "in", tmp_path / "out.h5", read=PIPS, exclude=["poker_dvs.tar.gz"])
    assert (done.splits["train"][0], done.splits["test"][0]) == (4, 4)
    assert (done.excluded, done.left_out, done.formats) == ((str(archive),), (), {"event-array": 8})


def test_the_option_that_is_told_works_whatever_the_name(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    path = put(tmp_path / "in" / "it's [1] more" / "3" / "a*.bin", nmnist(draw(1)))
    put(path.with_name("ab.bin"), nmnist(draw(2)))
    found = re.search(r"; (--exclude .*) leaves it out$", refused(tmp_path))
    assert found is not None
    pattern = shlex.split(found[1])[1]
    assert "in/it's [1] more/3/ab.bin: lies outside of the splits" in refused(tmp_path, exclude=[pattern])
    assert run(tmp_path / "in", tmp_path / "out.h5", exclude=[pattern, "ab.bin"]).splits["train"][0] == 6


@pytest.mark.parametrize("pattern", ["more", "./more/", "mor?", "{whole}", "more/3", "*.bin.old"])
def test_a_pattern_is_a_name_a_path_below_or_a_path(tmp_path: Path, pattern: str) -> None:
    nmnist_tree(tmp_path / "in")
    put(tmp_path / "in" / "more" / "3" / "a.bin.old", nmnist(draw(1)))
    done = run(tmp_path / "in", tmp_path / "out.h5", exclude=[pattern.format(whole=tmp_path / "in" / "more")])
    assert (done.splits["train"][0], done.splits["test"][0]) == (6, 6)
    (excluded,) = done.excluded
    assert excluded.startswith(str(tmp_path / "in" / "more"))


def test_what_is_excluded_is_not_looked_at(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "nothing").symlink_to(tmp_path / "nowhere")
    put(tmp_path / "in" / "notes.txt", b"about")
    done = run(tmp_path / "in", tmp_path / "out.h5", exclude=["loop", "nothing", "*.txt"])
    assert sorted(Path(name).name for name in done.excluded) == ["loop", "notes.txt", "nothing"]
    assert done.ignored == ()


def test_an_archive_is_read_again_where_the_folder_of_its_name_is_excluded(tmp_path: Path) -> None:
    poker(tmp_path, "zip")
    put(tmp_path / "in" / "pips_train" / "cl" / "0.npy", b"half unpacked")
    done = run(tmp_path / "in", tmp_path / "out.h5", read=PIPS, exclude=["pips_train"])
    assert (done.splits["train"][0], done.notes) == (4, ())


@pytest.mark.parametrize("pattern", ["xclub01.aedat", "TRAIN", "", "pips_train"])
def test_a_pattern_that_nothing_matches_is_refused(tmp_path: Path, pattern: str) -> None:
    beside_the_pips(tmp_path)
    sentence = refused(tmp_path, read=PIPS, exclude=["poker*", pattern])
    assert sentence.startswith(f"--exclude {pattern}: no file or folder below {tmp_path / 'in'} has this name or path")


def test_nothing_left_and_a_single_file_are_refused(tmp_path: Path) -> None:
    nmnist_tree(tmp_path / "in")
    assert "holds no recording, image or sound beside what is excluded" in refused(tmp_path, exclude=["T*"])
    (tmp_path / "in").rename(tmp_path / "all")
    put(tmp_path / "in", nmnist(draw(1)))
    assert refused(tmp_path, exclude=["in"]).startswith("--exclude in: no file or folder below")
