"""Ctrl-C and SIGTERM that wait for a good moment.

Python raises KeyboardInterrupt wherever it is: inside a callback of h5py it is printed and lost, and inside libhdf5 it
leaves a file that cannot be closed. So a signal is only noted here, and raised where `check` is called.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes of a process that Ctrl-C or SIGTERM ended, as a shell counts them."""


class Terminated(SystemExit):
    """SIGTERM came; where nothing catches it, the process ends with exit code 143."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


class DeferredSignals:
    """A context manager in which Ctrl-C and SIGTERM wait for `check`, or for its end.

    Where only impatient ones are open, a second signal does not wait. Inside of another one it asks that one. It does
    nothing outside of the main thread, and leaves a signal alone that is ignored or that someone else handles.

    Raises:
        KeyboardInterrupt: Ctrl-C came.
        Terminated: SIGTERM came.
    """

    def __init__(self, patient: bool = True) -> None:
        self._patient = patient
        self._n_patient = int(patient)  # with those inside
        self._came: int | None = None
        self._before: list[tuple[int, Any]] = []
        self._outer: DeferredSignals | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            found = signal.getsignal(number)
            owner = getattr(found, "__self__", None)
            if isinstance(owner, DeferredSignals):
                self._outer = owner
                owner._n_patient += self._patient
                return self
            if found == usual:
                self._before.append((number, signal.signal(number, self._note)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._outer is not None:
            self._outer._n_patient -= self._patient
        while self._before:
            signal.signal(*self._before.pop())
        self.check()

    def check(self) -> None:
        """Raise what came."""
        if self._outer is not None:
            self._outer.check()
        number, self._came = self._came, None
        if number is not None:
            raise _exception(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_second, self._came = self._came is not None, number
        if is_second and not self._n_patient:
            raise _exception(number)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated()
