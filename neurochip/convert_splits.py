"""Which split a sample of `convert` belongs to, and what is wrong where nothing says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from neurochip.convert_classes import Classes
from neurochip.convert_files import LABELS, format_of, items_of, named
from neurochip.convert_items import Label, starts_sample
from neurochip.convert_sources import Source, Tree
from neurochip.errors import UserError
from neurochip.readers.recording import ReadOptions

TRAIN, TEST = "train", "test"
MANY_IN_ONE = ("shd-h5", "events-h5", "mnist-idx", "event-array")
"""Formats whose files hold several samples, or labels of their own."""


class SplitPlan:
    """The split of every sample: as the names say, as the files say, or a test split cut from the only one."""

    def __init__(self, source: Path, tree: Tree, options: ReadOptions, classes: Classes) -> None:
        self._source, self._tree, self._options, self._classes = source, tree, options, classes
        self._known = tree.known_splits()
        self._held: set[tuple[str, int]] = set()

    def split(self, source: Source, of_item: str | None, index: int) -> str:
        """Return the split of the sample `index`, counted from 0, of a file; raises UserError if nothing says it."""
        split = of_item or source.split
        if split is None:
            self._refuse_outside(source)
        return TEST if (source.name, index) in self._held else split or TRAIN

    def check_file(self, source: Source, format: str) -> None:
        """Refuse a file that nothing puts into a split, before it is read; files of some formats say their split."""
        if source.split is None and format != LABELS and format not in MANY_IN_ONE:
            self._refuse_outside(source)

    def _refuse_outside(self, source: Source) -> None:
        if self._known - {None}:
            names = ", ".join(_names(self._known))
            raise UserError(
                f"{source.name}: lies outside of the splits {names}{self._tree.how_to_exclude(source.name)}"
            )

    def check(self) -> None:
        """Refuse early what lacks a split, where that can be told without reading everything."""
        if self._tree.has_archives or {TRAIN, TEST} <= self._known:
            return
        for source in self._tree.sources(_judged_later):
            try:
                first = next(items_of(source, format_of(source, self._options), self._options, []), None)
            except UserError:
                return  # it is judged when its turn comes
            if first is not None:
                if first.split is None:
                    self.refuse(self._known)
                return

    def hold_out(self, fraction: float, seed: int, skip_damaged: bool, check: Callable[[], None]) -> None:
        """Choose the test split from the only one, as `tasks.splits.hold_out` does: a share of every class, by seed.

        `check` is called before every file and recording.

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
                check()
                for index, label in enumerate(self._labels(source)):
                    check()
                    samples.append((source.name, index))
                    labels.append(label)
            except UserError as error:
                if not skip_damaged:
                    raise UserError(named(source, error)) from None
        codes = {name: code for code, name in enumerate(sorted({str(label) for label in labels}))}
        _, held = hold_out(np.array([codes[str(label)] for label in labels], dtype=np.int64), fraction, seed)
        self._held = {samples[index] for index in held.tolist()}

    def _labels(self, source: Source) -> Iterator[Label]:
        """Labels of the samples of a file; most formats hold one, which needs no reading."""
        format = format_of(source, self._options)
        if format == LABELS:
            return
        if format not in MANY_IN_ONE:
            _check_only(source, source.split)
            yield self._classes.of(source, None)
            return
        for item in items_of(source, format, self._options, []):
            _check_only(source, item.split or source.split)
            if starts_sample(item):
                yield self._classes.of(source, item.label)

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
