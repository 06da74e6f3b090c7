"""From recordings, images or sounds in many formats to one event file, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.convert_items import Encoding, Label, Part, Place, encoding_for, kind_of, size_of, starts_sample
from neurochip.convert_sources import Source, Tree, find_files
from neurochip.convert_splits import TEST, TRAIN, SplitPlan, items_of, label_of, named, window_of
from neurochip.errors import UserError
from neurochip.event_writer import EventWriter
from neurochip.events import SensorSize, Window
from neurochip.listener import Listener, Silent
from neurochip.readers.recording import RawItem, ReadOptions

KEY = "convert"
MAX_NAMES_BYTES = 60_000


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert.

    Attributes:
        read: what the files do not say themselves.
        encoder, parameters: for images and sounds; None: rate, or the filter bank.
        split_fraction: share of every class that becomes the test split where there is only one.
        seed: of that choice and of encoders that draw.
        limit: recordings kept of every class and split, the first ones; None: all.
        skip_damaged: leave out what cannot be read instead of giving up.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    encoder: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    split_fraction: float | None = None
    seed: int = 1
    limit: int | None = None
    skip_damaged: bool = False


@dataclass(frozen=True)
class Converted:
    """What an event file holds.

    Attributes:
        splits: number of recordings and of events per split.
        class_names: folder names in the order of their labels; None where the labels are numbers.
        n_classes: distinct labels.
        left_out: one sentence for everything that could not be read.
        ignored: documents.
    """

    path: Path
    sensor_size: SensorSize
    window_us: Window | None
    splits: dict[str, tuple[int, int]]
    class_names: tuple[str, ...] | None
    n_classes: int
    left_out: tuple[str, ...]
    ignored: tuple[str, ...]


def convert(
    source: Path, out: Path, options: ConvertOptions | None = None, listener: Listener | None = None
) -> Converted:
    """Convert a file or a folder tree to the event file `out`, which is complete or absent afterwards.

    Memory stays bounded by the largest single image or sound and some hundred thousand events.

    Raises:
        UserError: nothing to convert, a damaged file (unless `skip_damaged`), sensors that differ, a class or split
            that nothing names, or an `out` that cannot be written.
    """
    return _Conversion(source, out, options or ConvertOptions(), listener or Silent()).run()


class _Conversion:
    """One run of `convert`."""

    def __init__(self, source: Path, out: Path, options: ConvertOptions, listener: Listener) -> None:
        self.source, self.out, self.options, self.listener = source, out, options, listener
        self.tree: Tree = find_files(source)
        self.plan = SplitPlan(source, self.tree, options.read)
        self.left_out: list[str] = []
        self.kept: Counter[tuple[str, Label]] = Counter()
        self.encoding: tuple[str, Encoding] | None = None
        self.writer: EventWriter | None = None
        self.first_name = ""
        self.recording: Place | None = None  # the one that is being written
        self.n_samples = 0
        self.abandoned = -1  # the sample that was last forgotten

    def run(self) -> Converted:
        if not self.out.parent.is_dir():
            raise UserError(f"{self.out} cannot be written: the folder {self.out.parent} does not exist")
        if self.options.split_fraction is None:
            self.plan.check()
        else:
            self.plan.hold_out(self.options.split_fraction, self.options.seed, self.options.skip_damaged)
        with ExitStack() as stack:
            try:
                self._read_all(stack)
                return self._finish()
            except OSError as error:
                raise UserError(f"{self.out} cannot be written ({error.strerror or error})") from error

    def _read_all(self, stack: ExitStack) -> None:
        total, done = max(1, self.tree.n_bytes), 0
        self.listener.begin(KEY, f"converting {self.source.name or self.source}", total)
        for source in self.tree.sources(lambda path, error: self._damaged(path, str(path), error)):
            self._convert(source, stack)
            done += source.n_bytes
            self.listener.advance(KEY, source.n_bytes, f"{self.n_samples} recordings, {done / total:.0%}")
        if self.encoding is not None:
            self._write(self.encoding[1].flush(), stack)
        self._end_recording()
        self.listener.advance(KEY, total - done)
        self.listener.end(KEY)

    def _convert(self, source: Source, stack: ExitStack) -> None:
        """Write the recordings of one file."""
        place: Place | None = None
        index = -1
        try:
            window = window_of(source, self.options.read)
            for item in items_of(source, self.options.read):
                encoding = self._encoding_of(item, source, window)
                if starts_sample(item):
                    index += 1
                    place = self._place(source, item, index)
                if place is not None:
                    self._write(encoding.add(place, item), stack)
            if self.encoding is not None:
                self._write(self.encoding[1].end_of_file(), stack)
            self._end_recording()
        except UserError as error:
            if self.encoding is not None and self.encoding[1].forget():
                self._abandon(place)
            self._damaged(source.path, source.name, error)

    def _place(self, source: Source, item: RawItem, index: int) -> Place | None:
        """Where a new sample goes; None if there are enough of its class."""
        split, label = self.plan.split(source, item.split, index), label_of(source, item.label)
        self.n_samples += 1
        if self.options.limit is not None and self.kept[split, label] >= self.options.limit:
            return None
        self.kept[split, label] += 1
        return Place(self.n_samples - 1, source.name, split, label)

    def _encoding_of(self, item: RawItem, source: Source, window: Window | None) -> Encoding:
        kind = kind_of(item)
        if self.encoding is None:
            options = self.options
            self.encoding = (kind, encoding_for(kind, options.encoder, options.parameters, options.seed, window))
        if self.encoding[0] != kind:
            raise UserError(f"{source.name}: holds {kind}, the files before it {self.encoding[0]}; allowed is one kind")
        if kind == "events" and window != self.encoding[1].window_us:
            raise UserError(
                f"{source.name}: window_us = {window} differs from {self.encoding[1].window_us} of the files before; "
                "one event file holds one"
            )
        return self.encoding[1]

    def _write(self, parts: Iterable[Part], stack: ExitStack) -> None:
        for part in parts:
            try:
                if part.begins:
                    self._end_recording()
                    self._begin(part, stack)
                if self.recording is not None and self.writer is not None and not isinstance(part.events, UserError):
                    events = part.events
                    self.writer.append(events.x, events.y, events.p, events.t)
            except UserError as error:
                self._abandon(part.place)
                self._damaged(None, part.place.name, error)

    def _begin(self, part: Part, stack: ExitStack) -> None:
        if isinstance(part.events, UserError):
            raise part.events
        size = size_of(part)
        if self.writer is None:
            window = self.encoding[1].window_us if self.encoding is not None else None
            self.writer = stack.enter_context(EventWriter(self.out, size, window))
            self.first_name = part.place.name
        if self.writer.sensor_size != size:
            raise UserError(
                f"the sensor size {size} differs from {self.writer.sensor_size} of {self.first_name}; one event file "
                "holds one; --sensor-size W,H,P says it for all"
            )
        self.writer.begin(part.place.split)
        self.recording = part.place

    def _end_recording(self) -> None:
        if self.recording is not None and self.writer is not None:
            self.writer.end(self.recording.label)
        self.recording = None

    def _abandon(self, place: Place | None) -> None:
        """Forget a sample that broke off, so that another of its class may take its place."""
        if place is not None and place.number != self.abandoned:
            self.kept[place.split, place.label] -= 1
            self.abandoned = place.number
        if self.writer is not None:
            self.writer.abandon()
        self.recording = None

    def _damaged(self, path: Path | None, name: str, error: UserError) -> None:
        """Note what is left out, or give up."""
        sentence = named(path, name, error)
        if not self.options.skip_damaged:
            raise UserError(sentence) from None
        self.left_out.append(sentence)

    def _finish(self) -> Converted:
        if self.writer is None:
            raise UserError(f"{self.source}: nothing in it could be read: {'; '.join(self.left_out[:3])}")
        writer, sizes = self.writer, self.writer.sizes
        if not all(sizes.get(split, (0,))[0] for split in (TRAIN, TEST)):
            self.plan.refuse(name for name, (n_samples, _) in sizes.items() if n_samples)
        labels = {label for split in sizes for label in writer.labels(split)}
        numbers, names = _numbers(labels)
        writer.finish(numbers.__getitem__, self._attributes(names))
        return Converted(
            path=self.out,
            sensor_size=writer.sensor_size,
            window_us=writer.window_us,
            splits=sizes,
            class_names=names,
            n_classes=len(labels),
            left_out=tuple(self.left_out),
            ignored=tuple(dict.fromkeys(self.tree.ignored)),
        )

    def _attributes(self, class_names: tuple[str, ...] | None) -> dict[str, Any]:
        """Root attributes: nothing in them depends on the time or the machine."""
        attributes: dict[str, Any] = {"title": self.source.name, "converter": f"neurochip {__version__}"}
        if class_names:
            attributes["class_names"] = list(class_names)
        if self.encoding is not None and (description := self.encoding[1].description()):
            attributes["encoding"] = json.dumps(description)
        if self.options.split_fraction is not None:
            attributes["split"] = json.dumps({"fraction": self.options.split_fraction, "seed": self.options.seed})
        return attributes


def _numbers(labels: set[Label]) -> tuple[dict[Label, int], tuple[str, ...] | None]:
    """Return the number of every label, and the names in their order if the labels are words."""
    if all(isinstance(label, int) for label in labels):
        numbers = {label: int(label) for label in labels}
        bad = next((number for number in numbers.values() if not -(2**31) <= number < 2**31), None)
        if bad is not None:
            raise UserError(f"the label {bad} is too large; allowed is -2147483648 to 2147483647")
        return numbers, None
    names = tuple(sorted({str(label) for label in labels}))
    size = sum(len(name.encode()) for name in names)
    if size > MAX_NAMES_BYTES:
        raise UserError(f"the names of {len(names)} classes take {size} bytes; allowed are {MAX_NAMES_BYTES}")
    return {label: names.index(str(label)) for label in labels}, names
