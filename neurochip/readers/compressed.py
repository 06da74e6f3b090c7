"""Decompression that stops at a limit: what a header promises is never allocated, only what the data really yields."""

from __future__ import annotations

from typing import Any, Protocol

from neurochip.errors import UserError

STEP_BYTES = 2**20


def plain(data: bytes, limit: int, first: int | None = None) -> bytes:
    """Return the data itself, or its first bytes."""
    return data[:first]


def lz4_frame(data: bytes, limit: int, first: int | None = None) -> bytes:
    """Return the content of an LZ4 frame, or its first bytes; raises UserError if it is damaged or beyond `limit`."""
    frame = _library("lz4.frame")
    try:
        decompressor = frame.LZ4FrameDecompressor()
        pieces, length, pending = [], 0, data
        while not decompressor.eof and (first is None or length < first):
            piece = decompressor.decompress(pending, max_length=STEP_BYTES)
            pending = b""
            pieces.append(piece)
            length += len(piece)
            _check_length(length, limit)
            if not piece and decompressor.needs_input:
                raise UserError("the LZ4 data end before their end mark")
    # The library reports damage as RuntimeError, and a header that asks for too much as MemoryError.
    except (RuntimeError, MemoryError, ValueError, EOFError) as error:
        raise _damaged("LZ4", error) from None
    return b"".join(pieces)[:first]


def zstandard_frame(data: bytes, limit: int, first: int | None = None) -> bytes:
    """Return the content of a Zstandard frame, or its first bytes; raises UserError as `lz4_frame` does."""
    library = _library("zstandard")
    pieces, length = [], 0
    try:
        with library.ZstdDecompressor(max_window_size=limit).stream_reader(data) as reader:
            while (first is None or length < first) and (piece := reader.read(STEP_BYTES)):
                pieces.append(piece)
                length += len(piece)
                _check_length(length, limit)
    except (library.ZstdError, MemoryError) as error:
        raise _damaged("Zstandard", error) from None
    return b"".join(pieces)[:first]


class Decompress(Protocol):
    """Unpacks data to at most `limit` bytes, all of them or those before `first`."""

    def __call__(self, data: bytes, limit: int, first: int | None = None) -> bytes: ...


def _check_length(length: int, limit: int) -> None:
    if length > limit:
        raise UserError(f"a packet unpacks to more than {limit} bytes; that is the largest allowed")


def _damaged(kind: str, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    return UserError(f"damaged {kind} data ({str(error).strip() or type(error).__name__})")


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.split(".")[0]
        raise UserError(f"this file is compressed and needs {package}: pip install 'neurochip[aedat4]'") from None
