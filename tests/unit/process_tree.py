"""Processes that tests start, watch and kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest


def wait_for(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def children_of(parent: int) -> list[int]:
    """The processes that a process started."""
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc to find the processes of a process")
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _fields(path)[1:2] == [str(parent)]]


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    return _fields(Path(f"/proc/{pid}/stat"))[:1] not in ([], ["Z"])


def command_of(pid: int) -> str:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _fields(stat: Path) -> list[str]:
    """State, parent and so on; empty if the process is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []
