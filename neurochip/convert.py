"""From recordings, images or sounds in many formats to one event file, in bounded memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurochip._version import __version__
from neurochip.convert_checks import Seen, refuse_event_file_beside_others, refuse_two_forms, set_aside_unpacked
from neurochip.convert_classes import Classes
from neurochip.convert_files import (
    KEPT_TEXT_BYTES,
    LABELS,
    EventFileHeader,
    FinalError,
    Remarks,
    format_of,
    header_of,
    items_of,
    named,
)
from neurochip.convert_items import Encoding, Label, Part, Place, encoding_for, kind_of, starts_sample
from neurochip.convert_output import Output
from neurochip.convert_sources import Source, Tree, find_files
from neurochip.convert_splits import TEST, TRAIN, SplitPlan
from neurochip.errors import UserError
from neurochip.event_writer import CannotWrite
from neurochip.events import SensorSize, Window
from neurochip.interrupts import DeferredSignals
from neurochip.listener import Listener, Silent
from neurochip.printable import printable
from neurochip.readers.recording import RawItem, ReadOptions

KEY = "convert"


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
        exclude: shell patterns of names and paths below the source that are not read.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    encoder: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    split_fraction: float | None = None
    seed: int = 1
    limit: int | None = None
    skip_damaged: bool = False
    exclude: Sequence[str] = ()


@dataclass(frozen=True)
class Converted:
    """What an event file holds.

    Attributes:
        splits: number of recordings and of events per split.
        class_names: the names of the labels 0, 1, ...; None where the labels are numbers.
        n_classes: distinct labels.
        formats: number of files of each format.
        notes: what was taken for granted on the way, one sentence each.
        left_out: one sentence for everything that could not be read.
        ignored: documents.
        excluded: files and folders that `ConvertOptions.exclude` left out.
    """

    path: Path
    sensor_size: SensorSize
    window_us: Window | None
    splits: dict[str, tuple[int, int]]
    class_names: tuple[str, ...] | None
    n_classes: int
    formats: dict[str, int]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    ignored: tuple[str, ...]
    excluded: tuple[str, ...]


def convert(
    source: Path, out: Path, options: ConvertOptions | None = None, listener: Listener | None = None
) -> Converted:
    """Convert a file or a folder tree to the event file `out`, which is complete or absent afterwards.

    Memory stays bounded by the largest single image or sound and some hundred thousand events. Ctrl-C and SIGTERM wait
    for the end of a recording.

    Raises:
        UserError: nothing to convert, a damaged file (unless `skip_damaged`), sensors that differ, a class or split
            that nothing names, a recording that is there twice, or an `out` that cannot be written.
        KeyboardInterrupt, interrupts.Terminated: Ctrl-C or SIGTERM came.
    """
    with DeferredSignals(patient=False) as signals:
        return _Conversion(source, out, options or ConvertOptions(), listener or Silent(), signals).run()


class _Conversion:
    """One run of `convert`."""

    def __init__(
        self, source: Path, out: Path, options: ConvertOptions, listener: Listener, signals: DeferredSignals
    ) -> None:
        self.source, self.out, self.options, self.listener, self.signals = source, out, options, listener, signals
        self.tree: Tree = find_files(source, options.exclude)
        self.set_aside = set_aside_unpacked(self.tree)
        self.classes = Classes(self.tree)
        self.plan = SplitPlan(source, self.tree, options.read, self.classes)
        self.seen = Seen(self.tree)
        self.remarks = Remarks()
        self.texts: dict[str, str] | None = None  # root attributes that all event files share
        self.left_out: list[str] = []
        self.kept: Counter[tuple[str, Label]] = Counter()
        self.encoding: tuple[str, Encoding] | None = None
        self.output = Output(out, self._failed)
        self.n_samples = 0
        self.abandoned = -1  # the sample that was last forgotten

    @property
    def _name(self) -> str:
        return self.source.name or self.source.resolve().name

    def run(self) -> Converted:
        if not self.out.parent.is_dir():
            raise UserError(f"{self.out} cannot be written: the folder {self.out.parent} does not exist")
        try:
            refuse_event_file_beside_others(self.tree, self.options.read)
            refuse_two_forms(self.tree, self.options.read)
            if self.options.split_fraction is None:
                self.plan.check()
            else:
                self.plan.hold_out(
                    self.options.split_fraction, self.options.seed, self.options.skip_damaged, self.signals.check
                )
            with self.output:
                self._read_all()
                return self._finish()
        except OSError as error:
            raise UserError(f"{error.filename or self.source}: cannot be read ({error.strerror or error})") from error

    def _read_all(self) -> None:
        total, done = max(1, self.tree.n_bytes), 0
        self.listener.begin(KEY, f"converting {printable(self._name)}", total)
        for source in self.tree.sources(lambda path, error: self._damaged(str(error))):
            self.signals.check()
            self._convert(source)
            done += source.n_bytes
            self.listener.advance(KEY, source.n_bytes, f"{self.n_samples} recordings, {done / total:.0%}")
        if self.encoding is not None:
            self._write(self.encoding[1].flush())
        self.output.end_recording()
        self.listener.advance(KEY, total - done)
        self.listener.end(KEY)

    def _convert(self, source: Source) -> None:
        """Write the recordings of one file."""
        place: Place | None = None
        index = -1
        remarks: list[str] = []
        try:
            format, header = self._opened(source)
            self.plan.check_file(source, format)
            for item in items_of(source, format, self.options.read, remarks):
                self.signals.check()
                encoding = self._encoding_of(item, source, header.window_us)
                if starts_sample(item):
                    index += 1
                    place = self._place(source, item, index)
                if place is not None:
                    self._write(encoding.add(place, item))
            if self.encoding is not None:
                self._write(self.encoding[1].end_of_file())
            self.output.end_recording()
            self.remarks.add(source.name, remarks)
        except (CannotWrite, FinalError):
            raise
        except UserError as error:
            if self.encoding is not None and self.encoding[1].forget():
                self._abandon(place)
            self._damaged(named(source, error))

    def _opened(self, source: Source) -> tuple[str, EventFileHeader]:
        """The format of a file, and what the root of an event file says."""
        format = format_of(source, self.options.read)
        header = header_of(source, format)
        if format != LABELS:
            self.seen.add(source, format)
        if format == "events-h5":
            self.classes.check_header(source, header)
            texts = header.texts if self.texts is None else self.texts
            self.texts = {key: text for key, text in texts.items() if header.texts.get(key) == text}
        return format, header

    def _place(self, source: Source, item: RawItem, index: int) -> Place | None:
        """Where a new sample goes; None if there are enough of its class."""
        split, label = self.plan.split(source, item.split, index), self.classes.of(source, item.label)
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

    def _write(self, parts: Iterable[Part]) -> None:
        self.output.write(parts, self.encoding[1].window_us if self.encoding is not None else None)

    def _failed(self, place: Place, sentence: str) -> None:
        self._abandon(place)
        self._damaged(sentence)

    def _abandon(self, place: Place | None) -> None:
        """Forget a sample that broke off, so that another of its class may take its place."""
        if place is not None and place.number != self.abandoned:
            self.kept[place.split, place.label] -= 1
            self.abandoned = place.number
        self.output.abandon()

    def _damaged(self, sentence: str) -> None:
        """Note what is left out, or give up."""
        if not self.options.skip_damaged:
            raise FinalError(sentence) from None
        self.left_out.append(sentence)

    def _finish(self) -> Converted:
        writer = self.output.writer
        if writer is None:
            raise UserError(f"{self.source}: nothing in it could be read: {'; '.join(self.left_out[:3])}")
        sizes = writer.sizes
        if not all(sizes.get(split, (0,))[0] for split in (TRAIN, TEST)):
            self.plan.refuse(name for name, (n_samples, _) in sizes.items() if n_samples)
        labels = {label for split in sizes for label in writer.labels(split)}
        numbers, names = self.classes.numbers(labels)
        writer.finish(numbers.__getitem__, self._attributes(names))
        return Converted(
            path=self.out,
            sensor_size=writer.sensor_size,
            window_us=writer.window_us,
            splits=sizes,
            class_names=names,
            n_classes=len(labels),
            formats=dict(sorted(self.seen.formats.items())),
            notes=(*self.set_aside, *self.remarks.sentences()),
            left_out=tuple(self.left_out),
            ignored=tuple(dict.fromkeys(self.tree.ignored)),
            excluded=tuple(self.tree.excluded),
        )

    def _attributes(self, class_names: tuple[str, ...] | None) -> dict[str, Any]:
        """Root attributes: nothing in them depends on the time or the machine."""
        attributes: dict[str, Any] = {"title": self._name.encode(errors="replace").decode()}
        attributes |= {key: text for key, text in (self.texts or {}).items() if len(text.encode()) <= KEPT_TEXT_BYTES}
        attributes["converter"] = f"neurochip {__version__}"
        if class_names:
            attributes["class_names"] = list(class_names)
        if self.encoding is not None and (description := self.encoding[1].description()):
            attributes["encoding"] = json.dumps(description)
        if self.options.split_fraction is not None:
            attributes["split"] = json.dumps({"fraction": self.options.split_fraction, "seed": self.options.seed})
        return attributes
