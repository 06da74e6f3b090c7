"""tonic's transforms by name: what they make, that it follows from the seed alone, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from published_trees import settings
from tonic import transforms as tonic_transforms

from neurochip.config import parse_experiment
from neurochip.errors import UserError
from neurochip.events import Recordings, write_recordings
from neurochip.setup import task_settings
from neurochip.tasks import load_task
from neurochip.tasks.transforms import ALLOWED, EVENT, OTHER_SENSOR, check_transforms, transform_recordings

SIZE = (12, 10, 2)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CenterCrop": {"size": [8, 6]},
    "CropTime": {"min": 200, "max": 700},
    "Decimation": {"n": 2},
    "Denoise": {"filter_time": 300},
    "Downsample": {"spatial_factor": 0.5},
    "DropEvent": {"p": 0.3},
    "DropEventByArea": {"area_ratio": 0.3},
    "DropEventByTime": {"duration_ratio": 0.3},
    "DropPixel": {"coordinates": [[1, 2], [3, 4]]},
    "RandomCrop": {"target_size": [5, 4]},
    "RandomDropPixel": {"p": 0.3},
    "RefractoryPeriod": {"delta": 200},
    "SpatialJitter": {"clip_outliers": True},
    "TimeJitter": {"std": 50},
    "TimeSkew": {"coefficient": 1.5, "offset": 7},
    "UniformNoise": {"n": 20},
}
SIZES = {"CenterCrop": (8, 6, 2), "Downsample": (6, 5, 2), "MergePolarities": (12, 10, 1), "RandomCrop": (5, 4, 2)}
RANDOM = (
    *("DropEvent", "DropEventByArea", "DropEventByTime", "EventDrop", "RandomCrop", "RandomDropPixel", "RandomFlipLR"),
    *("RandomFlipPolarity", "RandomFlipUD", "RandomTimeReversal", "SpatialJitter", "TimeJitter", "UniformNoise"),
)


def recordings(n_samples: int = 12, n_events: int = 60, seed: int = 3) -> Recordings:
    random = np.random.default_rng(seed)
    x, y, p = (random.integers(0, high, n_samples * n_events) for high in SIZE)
    t = np.sort(random.integers(0, 1000, (n_samples, n_events)), axis=1).ravel()
    return Recordings(x, y, p, t, np.arange(n_samples + 1) * n_events, np.arange(n_samples) % 3, SIZE)


def made(tables: list[dict[str, Any]], seed: int = 1, split: str = "train", first: int = 0) -> Recordings:
    source = recordings()
    return transform_recordings(source, check_transforms(tables, source.sensor_size), seed, split, first)


def table(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **ARGUMENTS.get(name, {}), **more}


def rows(found: Recordings, index: int) -> list[tuple[int, ...]]:
    return [tuple(int(event[name]) for name in "xypt") for event in found.sample(index)]


def as_tonic_sees(sample: np.ndarray) -> np.ndarray:
    events = np.empty(len(sample), EVENT)
    for name in "xytp":
        events[name] = sample[name]
    return events


@pytest.mark.parametrize("name", sorted(set(ALLOWED) - set(RANDOM)))
def test_a_transform_is_what_tonic_makes_of_every_recording(name: str) -> None:
    arguments: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in ARGUMENTS.get(name, {}).items()}
    if name == "CenterCrop":
        arguments["sensor_size"] = SIZE
    found, source = made([table(name)]), recordings()
    for index in range(source.n_samples):
        theirs = getattr(tonic_transforms, name)(**arguments)(as_tonic_sees(source.sample(index)))
        theirs = theirs if len(theirs) else np.empty(0, EVENT)  # Decimation forgets the type
        theirs = theirs[np.argsort(theirs["t"], kind="stable")]
        assert rows(found, index) == [tuple(int(event[key]) for key in "xypt") for event in theirs]
    assert rows(found, 0) != rows(source, 0) or name == "TimeAlignment"
    assert found.sensor_size == SIZES.get(name, SIZE)


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_transform_follows_from_seed_split_and_place_alone(name: str) -> None:
    np.random.seed(1)
    one = made([table(name)])
    np.random.seed(2)
    np.random.rand(5)
    assert one.sha256() == made([table(name)]).sha256()
    for other in ({"seed": 2}, {"split": "test"}, {"first": 1}):
        assert one.sha256() != made([table(name)], **other).sha256()


@pytest.mark.parametrize("name", RANDOM)
def test_numpys_global_generator_is_left_as_it_was(name: str) -> None:
    np.random.seed(5)
    expected = np.random.rand(3).tolist()
    np.random.seed(5)
    made([table(name)])
    assert np.random.rand(3).tolist() == expected


def test_the_generator_is_put_back_after_a_failure() -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    with pytest.raises(UserError, match=r"task.transforms\[0\], SpatialJitter: puts an event at x = -?\d+; allowed is"):
        made([table("SpatialJitter", var_x=400, clip_outliers=False)])
    assert np.random.rand() == expected


def test_a_recording_does_not_depend_on_those_before_it() -> None:
    source = recordings()
    steps = check_transforms([table("TimeJitter")], SIZE)
    whole = transform_recordings(source, steps, 1, "train", 0)
    part = transform_recordings(source.take(range(5, 12)), steps, 1, "train", 5)
    assert [rows(whole, index + 5) for index in range(7)] == [rows(part, index) for index in range(7)]
    # tonic's CropTime without a maximum takes that of the first recording for all.
    assert made([{"name": "CropTime"}]).sha256() == source.sha256()


def test_transforms_come_in_their_order_and_know_the_sensor_before_them() -> None:
    tables = [table("CenterCrop"), table("RandomFlipLR", p=1.0), {"name": "MergePolarities"}]
    found, source = made(tables), recordings()
    assert found.sensor_size == (8, 6, 1)
    expected = [(7 - (x - 2), y - 2, 0, t) for x, y, _p, t in rows(source, 0) if 2 <= x < 10 and 2 <= y < 8]
    assert rows(found, 0) == expected


def test_only_the_splits_that_are_named_are_transformed() -> None:
    tables = [table("DropEvent", p=0.9, splits=["train", "test"])]
    counts = {split: len(made(tables, split=split).x) for split in ("train", "validation", "test")}
    assert counts == {"train": 72, "validation": 720, "test": 72}


def test_a_recording_that_becomes_empty_stays() -> None:
    found = made([table("CropTime", min=5000, max=6000), table("UniformNoise")])
    assert (found.n_samples, len(found.x)) == (12, 0)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([{"name": "ToFrame"}], r"task.transforms\[0\].name = 'ToFrame' is no transform of events; allowed are Center"),
        ([{"p": 1}], r"task.transforms\[0\].name = None is no transform"),
        ([table("Denoise"), {"name": "denoise"}], r"task.transforms\[1\].name = 'denoise'"),
        ([table("Denoise", time=3)], r"Denoise: unknown argument 'time'; allowed are filter_time, splits"),
        ([{"name": "Denoise"}], r"Denoise: the argument filter_time is missing"),
        ([table("UniformNoise", sensor_size=[1, 1, 1])], r"UniformNoise: unknown argument 'sensor_size'; allowed"),
        ([table("RandomFlipLR", p=3.0)], r"task.transforms\[0\], RandomFlipLR: tonic refuses"),
        ([table("Decimation", n="x")], r"task.transforms\[0\], Decimation: tonic (refuses|failed)"),
        ([table("TimeJitter", std="x")], r"task.transforms\[0\], TimeJitter: tonic failed"),
        ([{"name": "DropPixel"}], r"task.transforms\[0\], DropPixel: tonic failed"),
        ([table("Denoise", splits=["all"])], r"splits = \['all'\] must be a list of train, validation, test"),
        ([table("Denoise", splits=[])], r"splits = \[\] must be a list"),
        ([table("RandomCrop", splits=["train"])], r"changes the sensor size, so splits = \['train'\] is not allowed"),
        ([table("RandomCrop", target_size=[13, 4])], r"the size \[13, 4\] must be 1 to 12 and 1 to 10 pixels"),
        ([table("CenterCrop", size=0)], r"the size \[0, 0\] must be 1 to 12"),
        ([table("Downsample", spatial_factor=2)], r"spatial_factor = 2 must be one or two numbers above 0"),
        ([table("TimeSkew", coefficient=1e13)], r"after task.transforms, in train: t holds"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(tables: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        made(tables)
    assert "\n" not in str(error.value)


def event_file(path: Path) -> None:
    write_recordings(path, {"train": recordings(30), "test": recordings(9, seed=4)})


def load(path: Path, tables: list[dict[str, Any]] | None, seed: int = 1, **changes: Any) -> Any:
    return load_task(settings("events-h5", path, transforms=tables, **changes), path.parent, seed)


def test_a_task_is_transformed_before_it_is_cropped(tmp_path: Path) -> None:
    event_file(tmp_path / "a.h5")
    tables = [{"name": "MergePolarities"}, {"name": "Downsample", "target_size": [6, 5]}]
    task = load(tmp_path / "a.h5", tables, crop=(4, 3))
    assert task.sensor_size == (4, 3, 1)
    assert task.n_inputs == 12


@pytest.mark.parametrize("sensor_size", [None, (20, 10, 2)])
def test_a_large_file_gives_what_a_small_one_gives(
    sensor_size: tuple[int, int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurochip.tasks.digits_dvs.default_cache_dir", lambda: tmp_path / "cache")
    event_file(tmp_path / "a.h5")
    tables = [table("TimeJitter"), {"name": "MergePolarities"}]
    small = load(tmp_path / "a.h5", tables, sensor_size=sensor_size)
    monkeypatch.setattr("neurochip.tasks.prepare_large.LARGE_EVENTS", 10)
    monkeypatch.setattr("neurochip.event_blocks.BLOCK_EVENTS", 130)
    large = load(tmp_path / "a.h5", tables, sensor_size=sensor_size)
    assert small.provenance["content_sha256"] == large.provenance["content_sha256"]
    assert small.train.addresses.tolist() == large.train.addresses.tolist()
    kept = {path.name for path in (tmp_path / "cache").glob("*transformed*.h5")}
    load(tmp_path / "a.h5", [table("TimeJitter", std=51), {"name": "MergePolarities"}], sensor_size=sensor_size)
    load(tmp_path / "a.h5", tables, seed=2, sensor_size=sensor_size)
    assert len({path.name for path in (tmp_path / "cache").glob("*transformed*.h5")} - kept) == 2


def test_the_seed_of_the_run_decides(tmp_path: Path) -> None:
    event_file(tmp_path / "a.h5")
    hashes = [load(tmp_path / "a.h5", [table("TimeJitter")], seed).provenance["content_sha256"] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_experiment_hands_transforms_and_download_on() -> None:
    tables = [{"name": "Denoise", "filter_time": 10000}, {"name": "TimeJitter", "std": 100, "splits": ["train"]}]
    experiment = parse_experiment({"task": {"transforms": tables, "download": True}}, "a test")
    assert task_settings(experiment).transforms == tables
    assert task_settings(experiment).download is True
    assert experiment.to_tables()["task"]["transforms"] == tables
    assert task_settings(parse_experiment({}, "a test")).transforms is None


def test_drawn_samples_are_not_transformed(tmp_path: Path) -> None:
    asked = settings("delayed-recall", None, steps=20, transforms=[table("Denoise")])
    with pytest.raises(UserError, match=r"task\.transforms = .* is not allowed"):
        load_task(asked, tmp_path, 1)


def test_every_transform_that_is_allowed_is_tried_here() -> None:
    needs_none = {
        *("EventDrop", "MergePolarities", "RandomFlipLR", "RandomFlipPolarity", "RandomFlipUD", "RandomTimeReversal"),
        "TimeAlignment",
    }
    assert set(ARGUMENTS) | needs_none == set(ALLOWED)
    assert set(SIZES) == set(OTHER_SENSOR)
