"""What is typed for `convert`, as options of readers and parameters of encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurochip.errors import UserError
from neurochip.events import check_sensor_size
from neurochip.readers.recording import ReadOptions

OF_READERS = {
    "columns": str,
    "time_unit": str,
    "address_layout": str,
    "stream": int,
    "channel": int,
    "labels_path": Path,
    "sort": bool,
}
TRUTH = {"true": True, "false": False}


def read_options(
    input_format: str | None, sensor_size: str | None, settings: Sequence[str]
) -> tuple[ReadOptions, dict[str, str]]:
    """Return the options of the reader, and what is left of the KEY=VALUE texts for the encoder.

    Raises:
        UserError: an unknown format, a sensor size or value that is none, or a key that is given twice.
    """
    from neurochip.readers.registry import FORMATS

    known = [name for name, format in FORMATS.items() if format.kind != "labels"]
    if input_format is not None and input_format not in known:
        raise UserError(f"--format {input_format} is unknown; allowed are {', '.join(known)}")
    given: dict[str, Any] = {"format": input_format}
    if sensor_size is not None:
        given["sensor_size"] = _size(sensor_size)
    parameters: dict[str, str] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UserError(f"--set {setting} must be KEY=VALUE")
        if key in given or key in parameters:
            raise UserError(f"--set {key} is given twice; allowed is once")
        if key in OF_READERS:
            given[key] = _value(key, text)
        else:
            parameters[key] = text
    return dataclasses.replace(ReadOptions(), **given), parameters


def _size(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UserError(f"--sensor-size {text} must be three integers W,H,P, for example 34,34,2")
    return check_sensor_size([int(part) for part in parts], "--sensor-size")


def _value(key: str, text: str) -> Any:
    kind = OF_READERS[key]
    if kind is bool:
        if text not in TRUTH:
            raise UserError(f"--set {key}={text} must be true or false")
        return TRUTH[text]
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"--set {key}={text} must be an integer") from None
