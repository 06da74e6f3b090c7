"""The formats of an export by name, and the folder they are written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from neurochip.errors import UserError
from neurochip.export.c_header import header_files
from neurochip.export.load import Learned
from neurochip.export.nir_graph import nir_files
from neurochip.export.npz import npz_files
from neurochip.export.readmemh import readmemh_files

NIR = "nir"
FORMATS: dict[str, Callable[[Learned], dict[str, bytes]]] = {
    "npz": npz_files,
    "c": header_files,
    "readmemh": readmemh_files,
    NIR: nir_files,
}


def check_format(name: str) -> None:
    """Refuse an unknown format; raises UserError."""
    if name not in FORMATS:
        raise UserError(f"--format {name} is unknown; allowed are {', '.join(FORMATS)}")


def check_folder(out: Path, run: Path, form: str = "") -> None:
    """Refuse a folder that holds something, or that lies in the run directory; raises UserError.

    With the format nir, `out` may be a file FILE.nir instead, which does not exist yet.
    """
    if out.resolve().is_relative_to(run.resolve()):
        raise UserError(f"--out {out} lies in the run directory, which stays as it is; give a folder elsewhere")
    if _is_file(out, form):
        if out.exists():
            raise UserError(f"--out {out}: the file exists; give a new one")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: the folder is not empty; give a new or empty folder")


def export_files(learned: Learned, form: str, out: Path) -> list[Path]:
    """Write a network to a new or empty folder and return the files, the last one last.

    Args:
        learned: what to write.
        form: a name of `FORMATS`.
        out: the folder; with the format nir also FILE.nir.

    Raises:
        UserError: an unknown format, one that the chip of the run does not have, or a folder that cannot be written.
    """
    check_format(form)
    files = FORMATS[form](learned)
    if _is_file(out, form):
        return _write({out.name: next(iter(files.values()))}, out.parent)
    return _write(files, out)


def _is_file(out: Path, form: str) -> bool:
    return form == NIR and out.suffix == ".nir"


def _write(files: Mapping[str, bytes], out: Path) -> list[Path]:
    """Every file whole or absent: all are written beside their places before the first is renamed."""
    parts = {name: out / f".{name}.{os.getpid()}.part" for name in files}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            parts[name].write_bytes(content)
        for name in files:
            os.replace(parts[name], out / name)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror}); give a writable folder") from error
    finally:
        for part in parts.values():
            _remove(part)
    return [out / name for name in files]


def _remove(part: Path) -> None:
    """Remove what an error left over; where even that fails, the error itself is the one to tell."""
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return


__all__ = ["FORMATS", "check_folder", "check_format", "export_files"]
