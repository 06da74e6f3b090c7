"""Do compiled kernels lie where they cannot be taken for those of other sources?"""

from __future__ import annotations

from pathlib import Path

import pytest

from neurochip.core import _jit


def test_the_directory_is_named_after_the_sources_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With numba's own rule an edited helper would leave the old machine code of its callers in use."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "mine"))
    before = _jit.cache_directory()
    assert before.parent == tmp_path / "mine"
    assert _jit.source_hash() in before.name
    monkeypatch.setattr(_jit, "source_hash", lambda: "of other sources")
    assert _jit.cache_directory() != before


def test_a_place_that_cannot_be_written_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert tmp_path not in _jit.cache_directory().parents
