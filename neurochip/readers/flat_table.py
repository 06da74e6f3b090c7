"""FlatBuffers tables, read with every offset checked: the three tables of AEDAT 4 need no generated code.

Layout (flatbuffers.dev, internals): a table begins with a signed 32-bit distance back to its vtable; the vtable holds
its own size, the table's size and one 16-bit offset per field, 0 for a field that is absent.
"""

from __future__ import annotations

import struct

from neurochip.errors import UserError


class FlatTable:
    """One table of a buffer; reading outside the buffer raises UserError."""

    def __init__(self, buffer: bytes, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - self._number("<i", position)
        self._vtable_bytes = self._number("<H", self._vtable)

    @classmethod
    def root(cls, buffer: bytes, identifier: bytes) -> FlatTable:
        """Return the root table of a buffer that carries the given four-letter identifier."""
        if buffer[4:8] != identifier:
            raise UserError(f"identifier {buffer[4:8]!r} where {identifier!r} must be")
        return cls(buffer, struct.unpack_from("<I", buffer)[0])

    def number(self, field: int, code: str, default: int) -> int:
        """Return an integer field, `code` as in struct."""
        place = self._field(field)
        return default if place is None else self._number(code, place)

    def text(self, field: int) -> str:
        """Return a string field, "" if it is absent; raises UserError unless it is UTF-8."""
        place = self._field(field)
        if place is None:
            return ""
        start, length = self._vector(place, 1)
        try:
            return self._buffer[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"the text at byte {start} is not UTF-8") from None

    def structs(self, field: int, item_bytes: int) -> memoryview:
        """Return the bytes of a vector of structs, empty if it is absent."""
        place = self._field(field)
        if place is None:
            return memoryview(b"")
        start, length = self._vector(place, item_bytes)
        return memoryview(self._buffer)[start : start + length * item_bytes]

    def _field(self, field: int) -> int | None:
        slot = 4 + 2 * field
        if slot + 2 > self._vtable_bytes:
            return None
        offset = self._number("<H", self._vtable + slot)
        return self._position + offset if offset else None

    def _vector(self, place: int, item_bytes: int) -> tuple[int, int]:
        start = place + self._number("<I", place)
        length = self._number("<I", start)
        if start + 4 + length * item_bytes > len(self._buffer):
            raise UserError(f"a vector of {length} entries at byte {start} does not fit its {len(self._buffer)} bytes")
        return start + 4, length

    def _number(self, code: str, place: int) -> int:
        if not 0 <= place <= len(self._buffer) - struct.calcsize(code):
            raise UserError(f"an offset points to byte {place} of {len(self._buffer)}")
        return int(struct.unpack_from(code, self._buffer, place)[0])
