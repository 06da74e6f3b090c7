"""Rows of `.npy` arrays, alone or in an `.npz` archive, in bounded blocks and in either memory order."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from neurochip.errors import UserError
from neurochip.readers.npy_header import ArrayHeader, read_header
from neurochip.readers.zip_members import checked_members

MAX_MEMBERS = 1024
STEP_BYTES = 2**20


@dataclass(frozen=True)
class ArrayFile:
    """One array: how its bytes are opened, and its header."""

    opened: Callable[[], BinaryIO]
    header: ArrayHeader

    def rows(self, per_block: int) -> Iterator[NDArray[Any]]:
        """Yield the array along its first axis; raises UserError after the last whole row if rows are missing."""
        dtype, shape = self.header.dtype, self.header.shape
        n_columns = shape[1] if len(shape) == 2 else 1
        column_major = self.header.fortran_order and n_columns > 1
        streams = []
        try:
            for column in range(n_columns if column_major else 1):
                stream = self.opened()
                streams.append(stream)
                _skip(stream, self.header.header_bytes + column * shape[0] * dtype.itemsize)
            row_bytes = dtype.itemsize * (1 if column_major else n_columns)
            for start in range(0, shape[0], per_block):
                count = min(per_block, shape[0] - start)
                parts = [_read(stream, count * row_bytes) for stream in streams]
                whole = min(len(part) // row_bytes for part in parts)
                columns = [np.frombuffer(part[: whole * row_bytes], dtype) for part in parts]
                values = np.stack(columns, axis=1) if column_major else columns[0].reshape(whole, *shape[1:])
                if whole:
                    yield values
                if whole < count:
                    raise UserError(f"the array declares {shape[0]} rows and the file ends inside row {start + whole}")
        except zipfile.BadZipFile as error:
            raise UserError(f"damaged archive ({error})") from None
        finally:
            for stream in streams:
                stream.close()


def array_of(path: Path) -> ArrayFile:
    """Return the array of an `.npy` file; raises UserError if more than one array is in it."""
    with path.open("rb") as file:
        header = read_header(file)
    behind = path.stat().st_size - header.header_bytes - header.n_bytes
    if behind > 0:
        raise UserError(f"{behind} bytes follow the array; a file holds one array (numpy.savez keeps several)")
    return ArrayFile(lambda: path.open("rb"), header)


def arrays_of(path: Path) -> dict[str, ArrayFile]:
    """Return the arrays of an `.npz` archive by name; every member's check sum is verified before any is used."""
    try:
        return _members(path)
    # zipfile reports damage as any of these, depending on where in the archive it is.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"damaged archive ({str(error)[:200] or type(error).__name__})") from None
    except (OverflowError, LookupError, OSError, MemoryError) as error:
        raise UserError(f"damaged archive ({str(error)[:200] or type(error).__name__})") from None


def _members(path: Path) -> dict[str, ArrayFile]:
    arrays: dict[str, ArrayFile] = {}
    with zipfile.ZipFile(path) as archive:
        members = checked_members(path, archive)
        foreign = [info.filename for info in members if not info.filename.endswith(".npy")]
        if foreign:
            raise UserError(f"the archive holds {foreign[0][:80]!r}; it must hold .npy arrays only")
        if not 1 <= len(members) <= MAX_MEMBERS:
            raise UserError(f"the archive holds {len(members)} arrays; allowed are 1 to {MAX_MEMBERS}")
        for info in members:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise UserError(f"{info.filename[:80]} is compressed in a way that numpy does not write")
            with archive.open(info) as member:
                header = read_header(cast(BinaryIO, member))
                declared = header.header_bytes + header.n_bytes
                if info.file_size != declared:
                    raise UserError(
                        f"{info.filename[:80]} declares {declared} bytes and the archive {info.file_size} for it"
                    )
                while member.read(STEP_BYTES):  # reads on to the check sum at the end
                    pass
            name = info.filename.removesuffix(".npy")
            arrays[name] = ArrayFile(_opener(path, info), header)
    return arrays


def _opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        # The open member keeps the archive's file open until it is closed itself.
        with zipfile.ZipFile(path) as archive:
            return cast(BinaryIO, archive.open(member))

    return opened


def _skip(stream: BinaryIO, count: int) -> None:
    if stream.seekable():
        stream.seek(count, os.SEEK_SET)
        return
    while count > 0 and (data := stream.read(min(count, STEP_BYTES))):
        count -= len(data)


def _read(stream: BinaryIO, count: int) -> bytes:
    """Read up to `count` bytes: a compressed member may return less than asked before its end."""
    pieces = []
    while count > 0 and (data := stream.read(count)):
        pieces.append(data)
        count -= len(data)
    return b"".join(pieces)
