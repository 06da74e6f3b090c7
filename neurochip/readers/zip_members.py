"""The members of a zip archive, none of them lost: `zipfile` alone skips members of a directory that is damaged.

Format: PKWARE, APPNOTE.TXT, sections 4.3.7 (local header), 4.3.14 and 4.3.15 (Zip64 end), 4.3.16 (end).
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from neurochip.errors import UserError

END_BYTES, END_64_BYTES, LOCATOR_BYTES, LOCAL_BYTES = 22, 56, 20, 30
MAX_COMMENT_BYTES = 2**16
UTF8_NAME = 1 << 11


def checked_members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members of the archive that was opened from `path`, folders included.

    Raises:
        zipfile.BadZipFile: the directory holds another number of members than the end of the archive says, or it
            reads a name otherwise than the member does.
        UserError: a member twice.
    """
    members = archive.infolist()
    with path.open("rb") as file:
        declared, counted = _declared_count(file, len(members))
        if declared != counted:
            raise zipfile.BadZipFile(f"its directory holds {counted} members and its end says {declared}")
        for member in members:
            if not member.filename.isascii():
                _check_name_coding(file, member)
    seen: set[str] = set()
    for member in members:
        if member.filename in seen:
            raise UserError(f"the archive holds {member.filename[:200]} twice; one of them is allowed")
        seen.add(member.filename)
    return members


def _declared_count(file: BinaryIO, counted: int) -> tuple[int, int]:
    """Return the number of members that the end says, and `counted` as it would say it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - END_BYTES - MAX_COMMENT_BYTES - LOCATOR_BYTES - END_64_BYTES))
    tail = file.read()
    at = len(tail) - END_BYTES
    if not (tail[at:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")):  # as zipfile looks for it
        at = tail.rfind(b"PK\5\6")
    large = at - LOCATOR_BYTES - END_64_BYTES
    if large >= 0 and tail[large:].startswith(b"PK\6\6"):
        return struct.unpack_from("<Q", tail, large + 32)[0], counted
    # 16 bits: some programs write archives of more members without Zip64.
    return struct.unpack_from("<H", tail, at + 10)[0], counted % 2**16


def _check_name_coding(file: BinaryIO, member: zipfile.ZipInfo) -> None:
    """Refuse a name whose coding the directory and the member say differently: it would be another class."""
    file.seek(member.header_offset)
    header = file.read(LOCAL_BYTES)
    if len(header) < LOCAL_BYTES or (struct.unpack_from("<H", header, 6)[0] ^ member.flag_bits) & UTF8_NAME:
        raise zipfile.BadZipFile(f"its directory and the header of {member.filename[:200]!r} differ")
