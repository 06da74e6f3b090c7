"""Do the generated tables of docs/ say what the code says?"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from neurochip.counters import COUNTER_KEYS, STALL_CAUSES


@pytest.fixture
def script(source_tree: Path) -> Any:
    spec = importlib.util.spec_from_file_location("make_docs_tables", source_tree / "scripts" / "make_docs_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_tables_are_up_to_date(script: Any) -> None:
    for page, text in script.updated_pages().items():
        assert page.read_text(encoding="utf-8") == text, f"run scripts/make_docs_tables.py for {page.name}"


def test_a_stale_table_is_replaced_and_the_text_around_it_kept(script: Any, tmp_path: Path) -> None:
    page = tmp_path / "counting.md"
    stale = "\nbetween\n".join(
        f"{script.BEGIN.format(name=name)}\nold\n{script.END.format(name=name)}" for name in ("counters", "stalls")
    )
    page.write_text(f"before\n{stale}\nafter\n", encoding="utf-8")
    (text,) = script.updated_pages(tmp_path).values()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nbetween\n" in text
    assert "old" not in text
    assert all(text.count(f"| `{key}` |") == 1 for key in (*COUNTER_KEYS, *STALL_CAUSES))


def test_a_page_without_marks_is_refused(script: Any) -> None:
    with pytest.raises(ValueError, match="the marks of table counters are missing"):
        script.with_table("no marks", "counters", "")
