"""An HDF5 file that is complete or absent, whatever ends its writing: a full disk, a signal, an error.

When a write fails, libhdf5 2.0 cannot close the file, and ends the process with signal 11. So it never sees one fail:
it writes through a file object that keeps the first error and from then on only pretends. That error is raised after
the step in which it came, and the file is thrown away.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO, RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neurochip.interrupts import DeferredSignals


class Hdf5Output:
    """A context manager that writes an HDF5 file beside `path` and renames it when `commit` is called.

    Attributes:
        file: the open h5py.File; it is used within `step` only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self.file: Any = None
        self._stored: _Stored | None = None

    def __enter__(self) -> Self:
        import h5py

        try:
            with DeferredSignals():
                self._stored = _Stored(self._temporary)
                self.file = h5py.File(self._stored, "w")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._remove()

    @contextmanager
    def step(self) -> Iterator[Any]:
        """Around every use of `file`, which it yields: raises OSError if a write failed; signals wait for its end."""
        with DeferredSignals():
            try:
                yield self.file
            except Exception:
                self._check()  # libhdf5 may have stumbled over what was not written
                raise
            self._check()

    def commit(self) -> None:
        """Close the file and give it its name; raises OSError if that fails."""
        with self.step():
            self.file.close()
            if self._stored is not None:
                self._stored.close()
        os.replace(self._temporary, self._path)

    def _check(self) -> None:
        if self._stored is not None and self._stored.error is not None:
            raise self._stored.error

    def _remove(self) -> None:
        """Close and delete what was not committed."""
        with DeferredSignals():
            try:
                if self._stored is not None:
                    self._stored.pretend()
                if self.file is not None:
                    self.file.close()
            finally:
                if self._stored is not None:
                    self._stored.close()
                self._temporary.unlink(missing_ok=True)


class _Stored(RawIOBase):
    """The bytes of the file, for libhdf5: its writes never fail, but `error` is what the first one failed with."""

    def __init__(self, path: Path) -> None:
        self._raw = FileIO(path, "xb+")
        self.error: BaseException | None = None
        self._pretends = False

    def pretend(self) -> None:
        """Write nothing any more; the file is thrown away."""
        self._pretends = True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(view) and (n_more := self._raw.readinto(view[n_read:])):
            n_read += n_more
        view[n_read:] = bytes(len(view) - n_read)  # what was only pretended to be written
        return len(view)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if not self._pretends:
            try:
                n_written = 0
                while n_written < len(view):
                    n_written += self._raw.write(view[n_written:])
            except OSError as error:
                self.error, self._pretends = error, True
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if not self._pretends:
            try:
                self._raw.truncate(size)
            except OSError as error:
                self.error, self._pretends = error, True
        return size or 0

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Close the file; closing may be where a disk says that it is full."""
        try:
            self._raw.close()
        except OSError as error:
            self.error = self.error or error
        super().close()
