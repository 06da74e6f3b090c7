"""Task `poker-dvs`: pips of playing cards flicked past an event camera (Serrano-Gotarredona, Linares-Barranco 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neurochip.readers.recording import ReadOptions
from neurochip.tasks.published import Part, PublishedSet, load_published, recorded
from neurochip.tasks.published_files import DataFile, Place
from neurochip.tasks.registry import Progress, TaskData, TaskSettings, register_task

CLASSES = ("cl", "he", "di", "sp")  # in the order of tonic's labels
SUITS = {"xclub": 0, "xheart": 1, "xdiamond": 2, "xspade": 3}
FOLDERS = {"pips_train": "train", "pips_test": "test"}
TEST_SHARE = 0.3
# No download: tonic 1.7 looks for the archives within its own package, which does not contain them.


def place_of(parts: tuple[str, ...]) -> Place | None:
    """pips_train/SUIT/NAME.npy of tonic, or xSUITnn.aedat of the authors."""
    name = parts[-1]
    if name.endswith(".npy"):
        splits = [FOLDERS[part] for part in parts[:-2] if part in FOLDERS]
        if not splits or parts[-2] not in CLASSES:
            raise ValueError(f"lies in no folder {', '.join(CLASSES)} within pips_train or pips_test")
        return Place(splits[-1], CLASSES.index(parts[-2]))
    if name.endswith(".aedat"):
        suits = [label for word, label in SUITS.items() if name.startswith(word)]
        if not suits:
            raise ValueError(f"its name begins with none of {', '.join(SUITS)}")
        return Place(None, suits[0])
    return None


def read_file(file: DataFile) -> Iterator[Part]:
    """One pip."""
    if file.name.endswith(".npy"):
        return recorded(file, ReadOptions(format="event-array", columns="txyp", sensor_size=SET.sensor_size))
    return recorded(file, ReadOptions(format="aedat2", sensor_size=SET.sensor_size))


SET = PublishedSet(
    task="poker-dvs",
    layout="pips_train/SUIT/NAME.npy and pips_test/SUIT/NAME.npy with SUIT cl, he, di, sp, or xclub01.aedat and so on, "
    "or the archives of these",
    sensor_size=(35, 35, 2),
    place_of=place_of,
    read=read_file,
    test_share=TEST_SHARE,
)


@register_task("poker-dvs", "POKER-DVS: pips of playing cards, 4 suits (task.path: folder)")
def load(settings: TaskSettings, base_dir: Path, seed: int, progress: Progress) -> TaskData:
    """Load tonic's splits of the pips; of the authors' recordings, which have none, a share of every suit is tested."""
    return load_published(SET, settings, base_dir, seed, progress)
