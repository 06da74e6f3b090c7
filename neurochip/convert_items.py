"""From what a reader delivers to samples of events: recordings as they are, images and sounds through an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.encoded import Encoded
from neurochip.encoding.registry import make_encoder, parameters_of
from neurochip.errors import UserError
from neurochip.events import SensorSize, Window, check_sensor_size
from neurochip.readers.recording import RawImage, RawItem, RawRecording, RawSound

DEFAULT_ENCODERS = {"images": "rate", "sounds": "filter-bank"}
GROUP_PIXELS = 1 << 16
MAX_SOUND_SAMPLES = 1 << 24

Label = int | str


@dataclass(frozen=True)
class Place:
    """Where a sample came from and goes to; `number` counts samples from 0, `name` is that of the file."""

    number: int
    name: str
    split: str
    label: Label


@dataclass(frozen=True, eq=False)
class Part:
    """Events of one sample, or why there are none; `begins` a new sample or goes on with the last."""

    place: Place
    begins: bool
    events: Encoded | RawRecording | UserError
    sensor_size: SensorSize | None


class Encoding(Protocol):
    """How items of one kind become parts."""

    window_us: Window | None

    def add(self, place: Place, item: Any) -> Iterator[Part]:
        """The parts that are ready once this item is there."""

    def end_of_file(self) -> Iterator[Part]:
        """The parts that are ready once the file has ended."""

    def forget(self) -> bool:
        """Drop the item that was not complete when its file broke off; whether the last one may be such an item."""

    def flush(self) -> Iterator[Part]:
        """What still waits at the end."""

    def description(self) -> dict[str, Any]:
        """Name and parameters of the encoder; empty for recordings."""


class Recorded:
    """Recordings, as they are, in the window that their file says."""

    def __init__(self, window_us: Window | None) -> None:
        self.window_us = window_us

    def add(self, place: Place, item: RawRecording) -> Iterator[Part]:
        """The item."""
        yield Part(place, not item.continues, item, item.sensor_size)

    def end_of_file(self) -> Iterator[Part]:
        """Nothing waits."""
        yield from ()

    def forget(self) -> bool:
        """Nothing waits, but more of the recording may have been to come."""
        return True

    def flush(self) -> Iterator[Part]:
        """Nothing waits."""
        yield from ()

    def description(self) -> dict[str, Any]:
        """No encoder."""
        return {}


class EncodedImages:
    """Images through an encoder, some of one shape at a time."""

    def __init__(self, name: str, encoder: Any, seed: int) -> None:
        self._name, self._encoder, self._seed = name, encoder, seed
        self.window_us: Window | None = encoder.window_us
        self._group: list[tuple[Place, NDArray[np.uint8]]] = []

    def add(self, place: Place, item: RawImage) -> Iterator[Part]:
        """Keep the image; the group before it if it is full or of another shape."""
        if self._group and (self._is_full or self._group[0][1].shape != item.pixels.shape):
            yield from self.flush()
        self._group.append((place, item.pixels))

    @property
    def _is_full(self) -> bool:
        return len(self._group) * self._group[0][1].size >= GROUP_PIXELS

    def end_of_file(self) -> Iterator[Part]:
        """Images of several files wait together."""
        yield from ()

    def forget(self) -> bool:
        """Images that wait are complete."""
        return False

    def flush(self) -> Iterator[Part]:
        """The samples of the images that wait."""
        group, self._group = self._group, []
        try:
            yield from self._encoded(group)
        except UserError:
            for one in group:  # which of them?
                try:
                    yield from self._encoded([one])
                except UserError as error:
                    yield Part(one[0], True, error, None)

    def _encoded(self, group: list[tuple[Place, NDArray[np.uint8]]]) -> list[Part]:
        if not group:
            return []
        size = self._encoder.sensor_size(group[0][1])
        # One generator for each sample: what is drawn for it does not depend on the others.
        rngs = [np.random.default_rng([self._seed, place.number]) for place, _ in group]
        encoded = self._encoder.encode([image for _, image in group], rngs)
        return [Part(place, True, events, size) for (place, _), events in zip(group, encoded, strict=True)]

    def description(self) -> dict[str, Any]:
        """Name, parameters and seed."""
        return {"encoder": self._name, **parameters_of(self._encoder), "seed": self._seed}


class EncodedSounds:
    """Sounds through an encoder, one at a time."""

    def __init__(self, name: str, encoder: Any) -> None:
        self._name, self._encoder = name, encoder
        self.window_us: Window | None = encoder.window_us
        self._place: Place | None = None
        self._parts: list[RawSound] = []

    def add(self, place: Place, item: RawSound) -> Iterator[Part]:
        """Keep the part of a sound; the sound before it if a new one begins."""
        if not item.continues:
            yield from self.flush()
        self._place = place
        self._parts.append(item)
        if sum(len(part.samples) for part in self._parts) > MAX_SOUND_SAMPLES:
            raise UserError(f"is longer than {MAX_SOUND_SAMPLES} samples; cut it into shorter sounds")

    def end_of_file(self) -> Iterator[Part]:
        """The last sound of the file."""
        yield from self.flush()

    def forget(self) -> bool:
        """Drop the sound that waits."""
        self._parts = []
        return True

    def flush(self) -> Iterator[Part]:
        """The sample of the sound that waits."""
        parts, self._parts = self._parts, []
        if not parts or self._place is None:
            return
        samples: NDArray[np.int32] = np.concatenate([part.samples for part in parts])
        try:
            encoded = self._encoder.encode(samples, parts[0].rate_hz)
        except UserError as error:
            yield Part(self._place, True, error, None)
        else:
            yield Part(self._place, True, encoded, self._encoder.sensor)

    def description(self) -> dict[str, Any]:
        """Name and parameters."""
        return {"encoder": self._name, **parameters_of(self._encoder)}


def encoding_for(
    kind: str, name: str | None, settings: Mapping[str, str], seed: int, window_us: Window | None
) -> Encoding:
    """Return how items of `kind` ("events", "images" or "sounds") become samples; `window_us` is that of recordings.

    Raises:
        UserError: an encoder that is unknown, does not apply, or has no such parameter.
    """
    if kind == "events":
        if name is not None:
            raise UserError(f"--encoder {name} does not apply to recordings, which are events already")
        if settings:
            raise UserError(f"--set {next(iter(settings))}: recordings have no encoder, and no reader has this option")
        return Recorded(window_us)
    chosen = name or DEFAULT_ENCODERS[kind]
    encoder = make_encoder(chosen, kind, settings)
    return EncodedImages(chosen, encoder, seed) if kind == "images" else EncodedSounds(chosen, encoder)


def kind_of(item: RawItem) -> str:
    """Return "events", "images" or "sounds"."""
    return {RawRecording: "events", RawImage: "images", RawSound: "sounds"}[type(item)]


def starts_sample(item: RawItem) -> bool:
    """Whether an item is not the continuation of the one before."""
    return isinstance(item, RawImage) or not item.continues


def size_of(part: Part) -> SensorSize:
    """Return the sensor size of a part; raises UserError if neither the file nor the user says it."""
    if part.sensor_size is None:
        raise UserError(f"{part.place.name}: the format does not say the sensor size; --sensor-size W,H,P must give it")
    return check_sensor_size(part.sensor_size)
