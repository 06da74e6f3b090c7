"""A child that reads an HDF5 file, forked from the test's process: starting Python for every file takes too long."""

from __future__ import annotations

import importlib
import os
import warnings
from pathlib import Path

from neurochip.readers import hdf5_child


class Forked:
    """Stands in for the process of `neurochip.readers.hdf5.start_child`."""

    def __init__(self, path: Path, task: str, chunk_events: int) -> None:
        importlib.import_module("h5py")  # once, here, instead of in every child
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer Pythons warn of threads; the child uses none
            self._process = os.fork()
        if self._process == 0:
            code = 1
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                hdf5_child.limit_memory()
                hdf5_child.serve(str(path), task, chunk_events, os.fdopen(writing, "wb"))
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        self.stdout = os.fdopen(reading, "rb")
        self._code: int | None = None

    def kill(self) -> None:
        if self._code is None:
            os.kill(self._process, 9)

    def wait(self) -> int:
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return self._code
