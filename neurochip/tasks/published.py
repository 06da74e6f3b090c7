"""What the tasks of published data sets share: files of the published layout become an event file, then a task.

A task says which files are of the set and how one is read (`PublishedSet`). Any part of the files will do, if every
split has some. The event file is kept in the cache folder under the hash of the files and of the code that reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from neurochip.archives import NoRoomError, scratch_folder
from neurochip.encoding.encoded import Encoded
from neurochip.errors import UserError
from neurochip.events import SensorSize, Window
from neurochip.readers.recording import RawRecording, ReadOptions
from neurochip.tasks.published_files import DataFile, PlaceOf, Texts, files_sha256, published_files, with_split
from neurochip.tasks.registry import Progress, TaskData, TaskSettings
from neurochip.tasks.tonic_download import TonicSet, download


class Part(NamedTuple):
    """Events of one sample, or with `begins` False the next part of the last one."""

    split: str
    label: int | str
    begins: bool
    events: RawRecording | Encoded


@dataclass(frozen=True)
class PublishedSet:
    """A published data set.

    Attributes:
        layout: the files that are expected, for messages.
        place_of: which files are of the set, and what their names say.
        read: the samples of one file.
        splits: those that must be there.
        test_share: of every class, where the set has no official split; chosen by the name of the task.
        tonic: how tonic fetches it; None if it cannot.
        texts: text files of the set that say something of its recordings.
    """

    task: str
    layout: str
    sensor_size: SensorSize
    place_of: PlaceOf
    read: Callable[[DataFile], Iterator[Part]]
    tonic: TonicSet | None = None
    splits: tuple[str, ...] = ("train", "test")
    test_share: float | None = None
    window_us: Window | None = None
    texts: Texts | None = None


def load_published(
    wanted: PublishedSet, settings: TaskSettings, base_dir: Path, seed: int, progress: Progress
) -> TaskData:
    """Load a published data set from `task.path`, or from where tonic downloads it to.

    Raises:
        UserError: no folder, no download, a missing split, a damaged file, or what `prepare_task` refuses; a sentence
            about files says which layout is expected.
    """
    from neurochip.tasks.digits_dvs import default_cache_dir
    from neurochip.tasks.events_h5 import prepare_event_file
    from neurochip.tasks.kept_files import kept_event_file
    from neurochip.tasks.manifest import read_manifest

    size, manifest = wanted.sensor_size, read_manifest(wanted.task)
    if settings.sensor_size is not None and tuple(settings.sensor_size) != size:
        raise UserError(f'task.sensor_size = {settings.sensor_size} is not allowed with "{wanted.task}"; it is {size}')
    folder = _data_folder(wanted, settings, base_dir, default_cache_dir(), str(manifest["source"]), progress)
    with scratch_folder() as scratch:
        try:
            files = published_files(folder, wanted.place_of, scratch, progress, wanted.texts)
        except NoRoomError:
            raise
        except UserError as error:
            raise _with_layout(wanted, error) from None
        if wanted.test_share is not None and not any(file.split for file in files):
            files = with_split(files, wanted.test_share, wanted.task)
        known = {file.split for file in files}
        if None not in known:
            _refuse_missing(wanted, folder, [split for split in wanted.splits if split not in known])
        names = sorted({file.label for file in files if isinstance(file.label, str)})
        key = _key(wanted, files, progress)

        def write(path: Path) -> None:
            progress(f"{wanted.task}: reading {len(files)} files")
            _write(wanted, files, names, folder, path)

        with kept_event_file(default_cache_dir(), wanted.task, key, write, progress) as path:
            notes = _provenance(wanted, files, names, path)
            return prepare_event_file(path, settings, seed, progress, notes, str(folder))


def recorded(file: DataFile, options: ReadOptions | None = None) -> Iterator[Part]:
    """Yield the samples of a file that a reader knows; label and split are those of the file or of its name.

    Raises:
        UserError: a damaged file, or one that holds no recording.
    """
    from neurochip.readers.registry import read

    for item in read(file.path, options):
        if not isinstance(item, RawRecording):
            raise UserError(f"{file.path}: holds no recording of events")
        label = file.label if file.label is not None else item.label
        if label is None or file.split is None:
            raise UserError(f"{file.path}: nothing says its {'class' if label is None else 'split'}")
        yield Part(file.split, label, not item.continues, item)


def _data_folder(
    wanted: PublishedSet, settings: TaskSettings, base_dir: Path, cache_dir: Path, source: str, progress: Progress
) -> Path:
    path = None if settings.path is None else base_dir / Path(settings.path).expanduser()
    if settings.download and wanted.tonic is not None:
        return download(wanted.tonic, path or cache_dir / "tonic", wanted.task, source, progress)
    if path is None:
        also = "" if wanted.tonic is None else ", or task.download = true lets tonic fetch them"
        raise UserError(f'task.path is missing; "{wanted.task}" needs the folder of its files: {wanted.layout}{also}')
    return path


def _key(wanted: PublishedSet, files: list[DataFile], progress: Progress) -> str:
    """Return a hash of all that the event file follows from: the files, and the code that reads them."""
    from neurochip import event_writer, events, readers
    from neurochip.encoding import encoded
    from neurochip.tasks import published_files as finding
    from neurochip.tasks import splits
    from neurochip.tasks.kept_files import code_sha256

    own = Path(__file__).parent / f"{wanted.task.replace('-', '_')}.py"
    folder = Path(str(readers.__file__)).parent
    code = code_sha256([Path(__file__), own, folder, finding, splits, event_writer, events, encoded])
    return hashlib.sha256(f"{code} {files_sha256(files, progress, wanted.task)}".encode()).hexdigest()


def _write(wanted: PublishedSet, files: list[DataFile], names: list[str], folder: Path, path: Path) -> None:
    """Write all samples to an event file."""
    from neurochip.event_writer import EventWriter

    with EventWriter(path, wanted.sensor_size, wanted.window_us) as writer:
        for file in files:
            label: int | str | None = None
            try:
                for part in wanted.read(file):
                    if part.begins:
                        if label is not None:
                            writer.end(label)
                        writer.begin(part.split)
                    label = part.label
                    writer.append(part.events.x, part.events.y, part.events.p, part.events.t)
                if label is not None:
                    writer.end(label)
            except UserError as error:
                text = str(error).replace(str(file.path), file.name)
                named = text if file.name in text else f"{file.name}: {text}"
                raise _with_layout(wanted, UserError(named)) from None
        _refuse_missing(wanted, folder, [split for split in wanted.splits if not writer.sizes.get(split, (0, 0))[0]])
        attributes = {"title": wanted.task, **({"class_names": names} if names else {})}
        writer.finish(lambda label: names.index(label) if isinstance(label, str) else label, attributes)


def _provenance(wanted: PublishedSet, files: list[DataFile], names: list[str], path: Path) -> dict[str, str]:
    """Return what the manifest says, and how much of the whole set there is, in the layout of these files."""
    from neurochip.event_blocks import open_split
    from neurochip.event_file import read_splits
    from neurochip.tasks.manifest import provenance, read_manifest

    sizes: dict[str, int] = {}
    manifest = read_manifest(wanted.task)
    suffix = files[0].parts[-1].rpartition(".")[2]
    whole: dict[str, int] = manifest.get("splits_of", {}).get(suffix, manifest.get("splits", {}))
    for split in sorted(read_splits(path)):
        with open_split(path, split) as opened:
            sizes[split] = len(opened.labels)
    notes = provenance(wanted.task)
    notes["recordings"] = _listed(sizes)
    if whole and sizes != whole:
        notes["recordings"] += f" (the whole published set: {_listed(whole)})"
    if names:
        notes["class_names"] = ", ".join(names)
    return notes


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{split} {sizes[split]}" for split in sorted(sizes))


def _refuse_missing(wanted: PublishedSet, folder: Path, missing: list[str]) -> None:
    if missing:
        raise _with_layout(
            wanted,
            UserError(
                f"task.path: {folder} has no recording of the split {missing[0]} (neurochip convert --split-fraction "
                "cuts one from recordings of a single split)"
            ),
        )


def _with_layout(wanted: PublishedSet, error: UserError) -> UserError:
    return UserError(f'{error}; "{wanted.task}" expects {wanted.layout}')
