"""`neurochip cost --map`: price a grid of settings, print it, and write it to a folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from neurochip.errors import UserError

if TYPE_CHECKING:
    from neurochip.estimate import Asked


def check_map_options(as_map: bool, of_map: Mapping[str, Any], not_of_map: Mapping[str, Any]) -> None:
    """Refuse options of a map without --map, and with it those of a run, whose steps and layers do not vary.

    Raises:
        UserError: naming the option.
    """
    if not as_map:
        for name in (name for name, value in of_map.items() if value):
            raise UserError(f"{name} is an option of a map; give --map with it")
    for name in (name for name, value in not_of_map.items() if as_map and value is not None):
        raise UserError(f"{name} cannot be given with --map, which varies what the run fixed; allowed is --network")


def make_map(
    network: str,
    overrides: Sequence[str],
    axes: Sequence[str],
    asked: Asked,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compute the map, print it or its JSON form, and write map.json, map.csv and the pictures to `out`.

    Raises:
        UserError: one sentence; nothing was written.
    """
    from neurochip.cli.progress import progress_for
    from neurochip.cost_map import cost_map
    from neurochip.map_axes import parse_axis

    parsed = [parse_axis(text) for text in axes]
    if out is not None:
        _check_folder(out)
    with progress_for(quiet) as progress:
        document = cost_map(network, overrides, parsed, asked, progress)
        if out is not None:
            _write(document, out)
            progress.message(f"map: {out}")
    if as_json:
        typer.echo(_json(document), nl=False)
        return
    from neurochip.cli.terminal import Terminal
    from neurochip.report.map_console import print_map

    print_map(document, Terminal())


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written before minutes of pricing; leaves nothing behind."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a new or empty folder")
    made: list[Path] = []
    try:
        if out.is_dir() and any(out.iterdir()):
            raise UserError(f"--out {out}: the folder is not empty; give a new or empty folder")
        for folder in reversed([one for one in (out, *out.parents) if not one.exists()]):
            folder.mkdir()
            made.append(folder)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _not_written(out, error) from error
    finally:
        for folder in reversed(made):
            folder.rmdir()


def _not_written(out: Path, error: OSError) -> UserError:
    return UserError(f"--out {out}: cannot be written ({error.strerror}); give a writable folder")


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(document: dict[str, Any], out: Path) -> None:
    """Every file whole or absent; map.json comes last."""
    from neurochip.cost_map import map_csv
    from neurochip.report.map_plot import map_pictures

    files = {**map_pictures(document), "map.csv": map_csv(document).encode(), "map.json": _json(document).encode()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            part = out / f".{name}.{os.getpid()}.part"
            part.write_bytes(content)
            os.replace(part, out / name)
    except OSError as error:
        raise _not_written(out, error) from error
