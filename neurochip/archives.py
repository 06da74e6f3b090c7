"""The files of an archive, one after the other through one temporary file: each archive is whole, or it is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from neurochip.errors import UserError
from neurochip.readers.zip_members import checked_members

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
PACKED_FILES = (".h5.gz", ".hdf5.gz", ".npy.gz", ".aedat.gz", ".aedat4.gz", ".dat.gz", ".wav.gz")
"""One file each. A reader of its own unpacks the `.gz` of MNIST, whose labels lie beside it."""
ARCHIVES = (*TARS, ".zip", *PACKED_FILES)
# What the standard library says of damage depends on where in the archive it is.
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, NotImplementedError, RuntimeError, TypeError, ValueError, MemoryError, OverflowError),
)
MAX_EXPANSION, FREE_BYTES = 200, 1 << 30
COPY_BYTES = 1 << 20


class NoRoomError(UserError):
    """The temporary folder takes no file; this says nothing about the archive."""


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive, or of one packed file; a .npz is none."""
    return name.lower().endswith(ARCHIVES)


def is_packed_file(name: str) -> bool:
    """Whether a name is that of one packed file."""
    return name.lower().endswith(PACKED_FILES)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder; raises NoRoomError if there can be none."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix="neurochip-")
    except OSError as error:
        raise NoRoomError(f"no temporary folder can be made ({error.strerror or error}); TMPDIR names one") from error
    with scratch as folder:
        yield Path(folder)


def unpacked(archive: Path, place: Path) -> Iterator[tuple[str, int]]:
    """Write one file after the other to `place`; yield its name and how much of the archive was read.

    Raises:
        NoRoomError: `place` cannot be written.
        UserError: damage, a name or link that leads out of the archive, a file twice, or too much content.
    """
    if archive.stat().st_size == 0:  # gzip takes this for nothing, well packed
        raise UserError(f"{archive} is empty; fetch it again")
    budget = _Budget(archive)
    name = archive.name.lower()
    read = _unzipped if name.endswith(".zip") else _gunzipped if is_packed_file(name) else _untarred
    try:
        yield from read(archive, place, budget)
    except UserError:
        raise
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{archive} cannot be read ({error.strerror})") from error
        raise UserError(f"{archive} is damaged or no archive ({error or type(error).__name__})") from error


def _unzipped(archive: Path, place: Path, budget: _Budget) -> Iterator[tuple[str, int]]:
    read = 0
    with zipfile.ZipFile(archive) as opened:
        try:
            members = checked_members(archive, opened)
        except UserError as error:
            raise UserError(f"{archive}: {error}") from None
        for member in members:
            read += member.compress_size
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise UserError(f"{archive}: {member.filename} is encrypted; unpack it first")
            _check_name(archive, member.filename)
            with opened.open(member) as stream:
                budget.copy(stream, place)
            yield member.filename, read


def _gunzipped(archive: Path, place: Path, budget: _Budget) -> Iterator[tuple[str, int]]:
    with gzip.open(archive) as stream:
        budget.copy(stream, place)
    yield archive.name[: -len(".gz")], archive.stat().st_size


def _untarred(archive: Path, place: Path, budget: _Budget) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    with archive.open("rb") as raw, tarfile.open(fileobj=_plain(raw), mode="r|", tarinfo=_TarMember) as opened:
        listing: Any = opened  # its list of members and its stream are no part of its types
        for member in opened:
            listing.members = []  # tarfile keeps every member it ever saw
            if member.isdir():
                continue
            _check_name(archive, member.name)
            stream = opened.extractfile(member) if member.isfile() else None
            if stream is None:
                raise UserError(f"{archive}: {member.name} is a link or device; allowed are files and folders")
            name = str(PurePosixPath(member.name))
            if name in seen:
                raise UserError(f"{archive}: the archive holds {name} twice; one of them is allowed")
            seen.add(name)
            budget.copy(stream, place)
            yield member.name, raw.tell()
        # To the end: there is the check sum, and behind a damaged end mark there would be members.
        while block := listing.fileobj.read(COPY_BYTES):
            if any(block):
                raise tarfile.ReadError("something follows its end mark")


class _TarMember(tarfile.TarInfo):
    """A member whose damage is an error: `tarfile` takes a damaged header for the end, and the rest is lost."""

    @classmethod
    def fromtarfile(cls, opened: tarfile.TarFile) -> _TarMember:
        library: Any = tarfile  # this error is no part of its types
        try:
            return super().fromtarfile(opened)
        except library.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {opened.offset}") from error


def _plain(raw: IO[bytes]) -> IO[bytes] | Any:
    """Return the stream of a tar file that may be packed; unlike those of `tarfile`, these verify check sums."""
    head = raw.read(6)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw) if head == b"\xfd7zXZ\0" else raw


def _check_name(archive: Path, name: str) -> None:
    """Refuse names that lead out of the archive; nothing is ever written there, but they tell of no good."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in parts[0]:
        raise UserError(f"{archive}: the member {name!r} lies outside of the archive; it is refused")


class _Budget:
    """What all members of an archive may expand to."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._left = self._allowed = MAX_EXPANSION * archive.stat().st_size + FREE_BYTES

    def copy(self, stream: IO[bytes] | Any, place: Path) -> None:
        """Write a member to `place`; raises UserError before the archive expands to more than is allowed."""
        try:
            with place.open("wb") as file:
                for block in self._blocks(stream):
                    file.write(block)
        except OSError as error:
            raise NoRoomError(
                f"the temporary folder {place.parent} takes no file of {self._archive} ({error.strerror or error}); "
                "TMPDIR names another"
            ) from error

    def _blocks(self, stream: IO[bytes] | Any) -> Iterator[bytes]:
        while block := _read(stream):
            self._left -= len(block)
            if self._left < 0:
                raise UserError(
                    f"{self._archive} expands to more than {self._allowed} bytes, {MAX_EXPANSION} times its size; "
                    "unpack it yourself if that is right"
                )
            yield block


def _read(stream: IO[bytes] | Any) -> bytes:
    """Read a block; an OSError becomes a ReadError, so that those of writing stand alone."""
    try:
        return bytes(stream.read(COPY_BYTES))
    except OSError as error:
        raise tarfile.ReadError(error.strerror or str(error)) from error
