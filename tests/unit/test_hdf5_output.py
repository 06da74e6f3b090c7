"""Is an event file complete or absent, and the process alive, when the disk is full or a signal comes?"""

from __future__ import annotations

import errno
import io
import signal
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurochip import event_writer, hdf5_output
from neurochip.event_file import read_recordings
from neurochip.event_writer import CannotWrite, EventWriter
from neurochip.events import Recordings, write_recordings
from neurochip.interrupts import DeferredSignals, Terminated


def full_after(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    """A disk on which files may not grow beyond so many bytes; a last write may be short."""

    class Raw(io.FileIO):
        def write(self, data: object) -> int:
            left = n_bytes - self.tell()
            view = memoryview(data)[: max(left, 0)]
            if not len(view):
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(view)

        def truncate(self, size: int | None = None) -> int:
            if size is not None and size > n_bytes:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().truncate(size)

    monkeypatch.setattr(hdf5_output, "FileIO", Raw)


def write(path: Path) -> None:
    """An event file of 12 recordings and about 100 kB."""
    rng = np.random.default_rng(0)
    with EventWriter(path, (100, 100, 2)) as writer:
        for index in range(12):
            writer.begin("train" if index % 2 else "test")
            for part in range(3):
                x, y, p = (rng.integers(0, high, 500) for high in (100, 100, 2))
                writer.append(x, y, p, np.arange(500) + 500 * part)
            writer.end(index % 3)
        writer.finish(int, {"title": "made up"})


def test_a_full_disk_is_said_and_leaves_nothing_wherever_it_is_full(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(event_writer, "BUFFER_EVENTS", 2000)
    write(tmp_path / "whole.h5")
    size = (tmp_path / "whole.h5").stat().st_size
    for n_bytes in (0, 10, 100, 800, 2048, *range(4096, size, size // 25), size - 1):
        full_after(monkeypatch, n_bytes)
        with pytest.raises(CannotWrite, match=r"out\.h5 cannot be written \(No space left on device\)"):
            write(tmp_path / "out.h5")
        assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]
    full_after(monkeypatch, size)
    write(tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_recordings_in_memory_are_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    t = np.arange(30_000)
    x = np.random.default_rng(1).integers(0, 5, 30_000)
    one = Recordings(x, x, x * 0, t, np.array([0, 30_000]), np.array([3]), (5, 5, 2))
    write_recordings(tmp_path / "whole.h5", {"train": one})
    size = (tmp_path / "whole.h5").stat().st_size
    for n_bytes in (0, 3000, size // 2, size - 1):
        full_after(monkeypatch, n_bytes)
        with pytest.raises(OSError, match="No space left"):
            write_recordings(tmp_path / "out.h5", {"train": one})
        assert [path.name for path in tmp_path.iterdir()] == ["whole.h5"]
    assert read_recordings(tmp_path / "whole.h5", "train").sha256() == one.sha256()


def test_a_disk_that_says_it_is_full_when_the_file_is_closed_is_heard(tmp_path, monkeypatch) -> None:
    class Raw(io.FileIO):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(hdf5_output, "FileIO", Raw)
    with pytest.raises(CannotWrite, match="Disk quota exceeded"):
        write(tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_within_a_write_ends_the_step_and_leaves_nothing(tmp_path, monkeypatch, number, error) -> None:
    n_writes = 0

    class Raw(io.FileIO):
        def write(self, data: object) -> int:
            nonlocal n_writes
            n_writes += 1
            if n_writes == 5:
                signal.raise_signal(number)
            return super().write(data)

    monkeypatch.setattr(event_writer, "BUFFER_EVENTS", 2000)
    monkeypatch.setattr(event_writer, "CHUNK_EVENTS", 1000)
    monkeypatch.setattr(hdf5_output, "FileIO", Raw)
    with pytest.raises(error):
        write(tmp_path / "out.h5")
    assert 5 <= n_writes < 40
    assert list(tmp_path.iterdir()) == []


def raised(*signals: int | str, patient: bool = True) -> tuple[list[str], str]:
    """Send signals ("inner": two within an inner context); return what was reached, and what was raised."""
    reached: list[str] = []
    try:
        with DeferredSignals(patient) as outer:
            for index, what in enumerate(signals):
                if isinstance(what, int):
                    signal.raise_signal(what)
                elif what == "check":
                    outer.check()
                else:
                    with DeferredSignals():
                        for number in (signal.SIGINT, signal.SIGINT):
                            signal.raise_signal(number)
                        reached.append("inner")
                reached.append(str(index))
    except (KeyboardInterrupt, Terminated) as error:
        return reached, type(error).__name__
    finally:
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    return reached, ""


def test_signals_wait_for_a_check_or_the_end() -> None:
    assert raised(signal.SIGINT) == (["0"], "KeyboardInterrupt")
    assert raised(signal.SIGTERM) == (["0"], "Terminated")
    assert raised("check", signal.SIGINT, "check") == (["0", "1"], "KeyboardInterrupt")
    assert raised("check") == (["0"], "")
    assert Terminated().code == 143


def test_a_second_signal_waits_only_where_it_has_to() -> None:
    assert raised(signal.SIGINT, signal.SIGINT) == (["0", "1"], "KeyboardInterrupt")
    assert raised(signal.SIGTERM, signal.SIGINT, patient=False) == (["0"], "KeyboardInterrupt")
    assert raised("inner", patient=False) == (["inner"], "KeyboardInterrupt")


def test_signals_that_are_ignored_or_handled_by_others_are_left_to_them() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with DeferredSignals() as signals:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            signals.check()
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, ignored)
    assert heard == [signal.SIGTERM]


def test_threads_can_write(tmp_path) -> None:
    thread = threading.Thread(target=write, args=(tmp_path / "out.h5",))
    thread.start()
    thread.join()
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file["train/labels"]) == 6
