"""The list of encoders. A module of this package becomes one by calling `register_encoder`; nothing else changes."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import Encoded
from neurochip.errors import UserError
from neurochip.events import SensorSize, Window

MAX_STEPS = 32767
MAX_STEP_US = 10**9


class ImageEncoder(Protocol):
    """Images, uint8 [rows, columns] or [rows, columns, 3], become events."""

    @property
    def window_us(self) -> Window | None:
        """First and last microsecond of every sample; None: a sample spans its own events."""

    def sensor_size(self, image: NDArray[np.uint8]) -> SensorSize:
        """The sensor that sees such an image."""

    def encode(self, images: Sequence[NDArray[np.uint8]], rngs: Sequence[np.random.Generator]) -> list[Encoded]:
        """The events of images of one shape; each has its own generator, so they do not depend on each other."""


class SoundEncoder(Protocol):
    """A sound, int32 [n] with full scale 2^31, becomes events."""

    @property
    def window_us(self) -> Window | None:
        """First and last microsecond of every sample; None: a sample spans its own events."""

    @property
    def sensor(self) -> SensorSize:
        """Bands, 1 row, OFF and ON."""

    def encode(self, samples: NDArray[np.int32], rate_hz: int) -> Encoded:
        """The events of a sound."""


Encoder = ImageEncoder | SoundEncoder
_Class = TypeVar("_Class", bound=type)
_ENCODERS: dict[str, tuple[str, Any]] = {}


def parameter(default: Any, allowed: Any, meaning: str) -> Any:
    """Return a field of an encoder; `allowed` is (low, high) for numbers, the values for texts."""
    return dataclasses.field(default=default, metadata={"allowed": allowed, "meaning": meaning})


def register_encoder(name: str, kind: str) -> Callable[[_Class], _Class]:
    """Make a frozen dataclass of `parameter` fields the encoder `name` of `kind` "images" or "sounds".

    Its `encode` raises UserError instead of MemoryError.
    """

    def register(made: _Class) -> _Class:
        within: Any = made
        within.encode = _within_memory(within.encode)
        _ENCODERS[name] = (kind, made)
        return made

    return register


def _within_memory(encode: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(encode)
    def encoded(*arguments: Any) -> Any:
        try:
            return encode(*arguments)
        except MemoryError:
            raise UserError(
                "needs more memory to encode than there is; smaller images or shorter sounds help"
            ) from None

    return encoded


def list_encoders(kind: str) -> list[str]:
    """Return the names of the encoders of "images" or "sounds", sorted."""
    return sorted(name for name, (own, _) in _encoders().items() if own == kind)


def make_encoder(name: str, kind: str, settings: Mapping[str, str]) -> Any:
    """Return the encoder `name` with `settings` read from text; raises UserError with the key and what is allowed."""
    known = _encoders()
    if name not in known or known[name][0] != kind:
        raise UserError(f"--encoder {name} is not an encoder of {kind}; allowed are {', '.join(list_encoders(kind))}")
    made = known[name][1]
    fields = {field.name: field for field in dataclasses.fields(made)}
    for key in settings:
        if key not in fields:
            raise UserError(f"--set {key}: the encoder {name} has no such parameter; allowed are {', '.join(fields)}")
    return made(**{key: _value(fields[key], text) for key, text in settings.items()})


def parameters_of(encoder: Any) -> dict[str, Any]:
    """Return the parameters of an encoder by name."""
    return dataclasses.asdict(encoder)


def _value(field: dataclasses.Field[Any], text: str) -> Any:
    allowed = field.metadata["allowed"]
    if isinstance(field.default, str):
        if text not in allowed:
            raise UserError(f"--set {field.name}={text} must be one of {', '.join(allowed)}")
        return text
    low, high = allowed
    kind: Any = type(field.default)
    sentence = f"--set {field.name}={text} must be {'an integer' if kind is int else 'a number'} from {low} to {high}"
    try:
        value = kind(text)
    except (ValueError, OverflowError):
        raise UserError(sentence) from None
    if not low <= value <= high:  # NaN is in no range
        raise UserError(sentence)
    return value


def _encoders() -> dict[str, tuple[str, Any]]:
    package = importlib.import_module(__package__ or "neurochip.encoding")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return _ENCODERS
