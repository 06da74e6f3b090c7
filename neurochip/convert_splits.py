"""Which split and which class a sample of `convert` belongs to, and what is wrong where nothing says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neurochip.convert_items import Label, starts_sample
from neurochip.convert_sources import Source, Tree
from neurochip.errors import UserError
from neurochip.events import Window
from neurochip.readers.recording import RawItem, ReadOptions

TRAIN, TEST = "train", "test"
MANY_IN_ONE = ("shd-h5", "events-h5", "mnist-idx", "event-array")
"""Formats whose files hold several samples, or labels of their own."""


def items_of(source: Source, options: ReadOptions) -> Iterator[RawItem]:
    """Yield the items of a file; none for the labels of another file, which are read with that.

    Raises:
        UserError: a file of no known format, or a damaged one.
    """
    from neurochip.readers.registry import read

    if format_of(source, options) != "labels":
        yield from read(source.path, options)


def format_of(source: Source, options: ReadOptions) -> str:
    """Return the name of the format of a file, or "labels"; raises UserError."""
    from neurochip.readers.registry import sniff

    try:
        found = sniff(source.path)
    except UserError:
        if options.format is None:
            raise
        return options.format
    return "labels" if found.kind == "labels" else options.format or found.name


def window_of(source: Source, options: ReadOptions) -> Window | None:
    """Return the time that all samples of an event file span, if it says one; other formats have none."""
    from neurochip import event_file

    if format_of(source, options) != "events-h5":
        return None
    with event_file.opened(source.path) as file:
        return event_file.window_of(file)


def label_of(source: Source, of_item: Label | None) -> Label:
    """Return the class that the file or its folder names; digits are a number."""
    label = of_item if of_item is not None else source.label
    if label is None:
        raise UserError(f"{source.name}: nothing names its class; put the files of each class into a folder")
    return int(label) if isinstance(label, str) and label.isdecimal() and label.isascii() else label


def named(path: Path | None, name: str, error: UserError) -> str:
    """Return the sentence of an error with the name by which the user knows the file."""
    text = str(error) if path is None else str(error).replace(str(path), name)
    return text if name in text else f"{name}: {text}"


class SplitPlan:
    """The split of every sample: as the names say, as the files say, or a test split cut from the only one."""

    def __init__(self, source: Path, tree: Tree, options: ReadOptions) -> None:
        self._source, self._tree, self._options = source, tree, options
        self._known = tree.known_splits()
        self._held: set[tuple[str, int]] = set()

    def split(self, source: Source, of_item: str | None, index: int) -> str:
        """Return the split of the sample `index`, counted from 0, of a file; raises UserError if nothing says it."""
        split = of_item or source.split
        if split is None and self._known - {None}:
            raise UserError(f"{source.name}: lies outside of the splits {', '.join(_names(self._known))}")
        return TEST if (source.name, index) in self._held else split or TRAIN

    def check(self) -> None:
        """Refuse early what lacks a split, where that can be told without reading everything."""
        if self._tree.has_archives or {TRAIN, TEST} <= self._known:
            return
        for source in self._tree.sources(_judged_later):
            try:
                first = next(items_of(source, self._options), None)
            except UserError:
                return  # it is judged when its turn comes
            if first is not None:
                if first.split is None:
                    self.refuse(self._known)
                return

    def hold_out(self, fraction: float, seed: int, skip_damaged: bool) -> None:
        """Choose the test split from the only one, as `tasks.splits.hold_out` does: a share of every class, by seed.

        Raises:
            UserError: there is a test or validation split, or a damaged file that is not to be skipped.
        """
        from neurochip.tasks.splits import hold_out

        def damaged(path: Path, error: UserError) -> None:
            if not skip_damaged:
                raise error

        samples: list[tuple[str, int]] = []
        labels: list[Label] = []
        for source in self._tree.sources(damaged):
            try:
                for index, label in enumerate(self._labels(source)):
                    samples.append((source.name, index))
                    labels.append(label)
            except UserError as error:
                if not skip_damaged:
                    raise UserError(named(source.path, source.name, error)) from None
        codes = {name: code for code, name in enumerate(sorted({str(label) for label in labels}))}
        _, held = hold_out(np.array([codes[str(label)] for label in labels], dtype=np.int64), fraction, seed)
        self._held = {samples[index] for index in held.tolist()}

    def _labels(self, source: Source) -> Iterator[Label]:
        """Labels of the samples of a file; most formats hold one, which needs no reading."""
        format = format_of(source, self._options)
        if format == "labels":
            return
        if format not in MANY_IN_ONE:
            _check_only(source, source.split)
            yield label_of(source, None)
            return
        for item in items_of(source, self._options):
            _check_only(source, item.split or source.split)
            if starts_sample(item):
                yield label_of(source, item.label)

    def refuse(self, found: Iterable[str | None]) -> None:
        """Raise the UserError of splits that are missing."""
        names = ", ".join(_names(found)) or "none"
        raise UserError(
            f"{self._source}: the splits train and test are needed, and there is {names}; --split-fraction 0.2 cuts a "
            "test split of that share from the only one"
        )


def _judged_later(path: Path, error: UserError) -> None:
    """What is damaged is judged when its turn comes."""


def _check_only(source: Source, split: str | None) -> None:
    if split not in (None, TRAIN):
        raise UserError(f"{source.name} is of the split {split}; --split-fraction is allowed where there is only train")


def _names(splits: Iterable[str | None]) -> list[str]:
    return sorted(split for split in splits if split is not None)
