"""The event file that a conversion writes, recording by recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from neurochip.convert_items import Part, Place, size_of
from neurochip.encoding.encoded import Encoded
from neurochip.errors import UserError
from neurochip.event_writer import CannotWrite, EventWriter
from neurochip.events import Window

OnFailure = Callable[[Place, str], None]
"""What is done about a recording that cannot be written, and the sentence that says why."""


class Output:
    """A context manager that writes samples to `path`; its sensor is that of the first one.

    Attributes:
        writer: None until there is a first sample.
    """

    def __init__(self, path: Path, on_failure: OnFailure) -> None:
        self._path, self._on_failure = path, on_failure
        self.writer: EventWriter | None = None
        self._first_name = ""
        self._recording: Place | None = None  # the one that is being written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.__exit__(kind, error, traceback)

    def write(self, parts: Iterable[Part], window_us: Window | None) -> None:
        """Write parts of samples; raises CannotWrite if that fails, whatever they hold."""
        for part in parts:
            try:
                if part.begins:
                    self.end_recording()
                    self._begin(part, window_us)
                if self._recording is not None and self.writer is not None and not isinstance(part.events, UserError):
                    events = part.events
                    self.writer.append(events.x, events.y, events.p, events.t)
            except CannotWrite:
                raise
            except UserError as error:
                text, name = str(error), part.place.name
                self._on_failure(part.place, text if name in text else f"{name}: {text}")

    def end_recording(self) -> None:
        """The recording that is being written is complete."""
        if self._recording is not None and self.writer is not None:
            self.writer.end(self._recording.label)
        self._recording = None

    def abandon(self) -> None:
        """Forget it."""
        if self.writer is not None:
            self.writer.abandon()
        self._recording = None

    def _begin(self, part: Part, window_us: Window | None) -> None:
        if isinstance(part.events, UserError):
            raise part.events
        size = size_of(part)
        if self.writer is None:
            writer = EventWriter(self._path, size, window_us)
            writer.__enter__()
            self.writer, self._first_name = writer, part.place.name
        if self.writer.sensor_size != size:
            is_encoded = isinstance(part.events, Encoded)
            remedy = "scale them to one size" if is_encoded else "--sensor-size W,H,P says it for all"
            raise UserError(
                f"the sensor size {size} differs from {self.writer.sensor_size} of {self._first_name}; one event file "
                f"holds one; {remedy}"
            )
        self.writer.begin(part.place.split)
        self._recording = part.place
