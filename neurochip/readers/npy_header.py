"""The header of an `.npy` array, parsed without trusting it: bounded in length and nesting, plain numbers only.

Format: numpy.org, numpy.lib.format: magic, version, length, then a Python dictionary of descr, fortran_order, shape.
"""

from __future__ import annotations

import ast
import struct
import warnings
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from neurochip.errors import UserError

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 2**16
MAX_NESTING = 8


class ArrayHeader(NamedTuple):
    """Type, shape and order of an array, and how many bytes its header took."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    header_bytes: int

    @property
    def n_bytes(self) -> int:
        """Number of bytes of the values."""
        count = 1
        for length in self.shape:
            count *= length
        return count * self.dtype.itemsize


def read_header(file: BinaryIO) -> ArrayHeader:
    """Read the header of an array; raises UserError if it is damaged or declares anything but plain numbers."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != MAGIC:
        raise UserError("the array does not begin with the mark of an .npy file")
    code = {1: "<H", 2: "<I", 3: "<I"}.get(start[6])
    if code is None:
        raise UserError(f"version {start[6]}.{start[7]} of the .npy format; read are 1, 2 and 3")
    prefix = file.read(struct.calcsize(code))
    if len(prefix) < struct.calcsize(code):
        raise UserError("the file ends inside the header of its array")
    length = struct.unpack(code, prefix)[0]
    if length > MAX_HEADER_BYTES:
        raise UserError(f"the array's header declares {length} bytes; allowed is at most {MAX_HEADER_BYTES}")
    text = file.read(length)
    if len(text) < length:
        raise UserError("the file ends inside the header of its array")
    return _parsed(text.decode("latin-1"), 8 + len(prefix) + length)


def _parsed(text: str, header_bytes: int) -> ArrayHeader:
    depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if depth > MAX_NESTING:
            raise UserError(f"the array's header is nested deeper than {MAX_NESTING}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = ast.literal_eval(text.strip())
            dtype = npy.descr_to_dtype(said["descr"])
    # What numpy and Python raise for a damaged description depends on where the damage is.
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError, OverflowError) as error:
        raise UserError(f"the array's header is damaged ({type(error).__name__})") from None
    except (AttributeError, IndexError, NotImplementedError) as error:
        raise UserError(f"the array's header is damaged ({type(error).__name__})") from None
    shape, fortran = said.get("shape"), said.get("fortran_order")
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 2**62 for n in shape)
    if not isinstance(dtype, np.dtype) or not whole or not isinstance(fortran, bool):
        raise UserError("the array's header must give descr, fortran_order and shape")
    for kind in _kinds(dtype):
        if kind.kind not in "biuf" or kind.itemsize > 8:
            raise UserError(
                f"the array holds {str(kind)[:40]}; it must hold integers, booleans or floats of at most 64 bits"
            )
    return ArrayHeader(dtype, tuple(shape), fortran, header_bytes)


def _kinds(dtype: np.dtype[Any]) -> list[np.dtype[Any]]:
    if dtype.names is None:
        return [dtype]
    return [dtype.fields[name][0] for name in dtype.names] if dtype.fields else []
