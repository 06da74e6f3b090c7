"""The tasks of published data sets: every event of every file of the true format, in its split and class."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import published_trees
import pytest
from published_trees import WITH_SPLITS, WITHOUT_SPLITS, Sample, settings

from neurochip.errors import UserError
from neurochip.event_file import read_recordings, read_splits
from neurochip.tasks import load_task
from neurochip.tasks.manifest import read_manifest

PUBLISHED = {*(case.split(",")[0] for case in WITH_SPLITS), "cifar10-dvs", "ncaltech101", "smnist"}
MD5_DIGITS, LICENCES = 32, ("unverified", "non-commercial", "CC BY")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, which is not the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setattr("neurochip.tasks.digits_dvs.default_cache_dir", lambda: folder)
    return folder


def samples_of(cache: Path) -> dict[str, list[Sample]]:
    """What the only event file of the cache holds."""
    (path,) = cache.glob("*.h5")
    found = {}
    for split in read_splits(path):
        recordings = read_recordings(path, split)
        columns = ("x", "y", "p", "t")
        found[split] = [
            Sample(int(label), [[int(event[name]) for name in columns] for event in recordings.sample(index)])
            for index, label in enumerate(recordings.labels)
        ]
    return found


@pytest.mark.parametrize("case", sorted(WITH_SPLITS))
def test_every_event_of_every_file_is_in_its_split_and_class(case: str, tmp_path: Path, cache: Path) -> None:
    name = case.split(",")[0]
    made = WITH_SPLITS[case](tmp_path / "data")
    task = load_task(settings(name, tmp_path / "data", validation=0.01), tmp_path, 1)
    assert samples_of(cache) == made
    manifest = read_manifest(name)
    assert list(task.sensor_size) == manifest["sensor_size"]
    assert set(task.classes) == {sample.label for sample in made["train"]} <= set(manifest["classes"])
    assert task.test.n_samples == len(made["test"])
    counted = {split: len(samples) for split, samples in made.items()}
    assert task.provenance["recordings"].startswith(", ".join(f"{key} {counted[key]}" for key in sorted(counted)))


@pytest.mark.parametrize("case", sorted(WITHOUT_SPLITS))
def test_without_an_official_split_a_share_of_every_class_is_tested(case: str, tmp_path: Path, cache: Path) -> None:
    name, write, share = WITHOUT_SPLITS[case]
    made = write(tmp_path / "data")
    load_task(settings(name, tmp_path / "data"), tmp_path, 1)
    found = samples_of(cache)
    assert sorted(found["train"] + found["test"]) == sorted(made)
    of_class = Counter(sample.label for sample in made)
    tested = Counter(sample.label for sample in found["test"])
    assert tested == {label: round(share * n) for label, n in of_class.items()}


@pytest.mark.parametrize("case", sorted(WITHOUT_SPLITS))
def test_the_test_split_does_not_depend_on_the_seed(case: str, tmp_path: Path, cache: Path) -> None:
    name, write, _ = WITHOUT_SPLITS[case]
    write(tmp_path / "data")
    one, two = (load_task(settings(name, tmp_path / "data"), tmp_path, seed) for seed in (1, 2))
    assert np.array_equal(one.test.addresses, two.test.addresses)
    assert one.provenance["content_sha256"] == two.provenance["content_sha256"]


def test_classes_of_caltech_are_the_folders_by_name(tmp_path: Path, cache: Path) -> None:
    published_trees.ncaltech101(tmp_path / "data")
    task = load_task(settings("ncaltech101", tmp_path / "data"), tmp_path, 1)
    assert task.provenance["class_names"] == "Motorbikes, accordion"
    assert task.n_inputs == 240 * 180 * 2


def test_ssc_has_its_own_validation_split(tmp_path: Path, cache: Path) -> None:
    made = published_trees.spoken(tmp_path / "data", published_trees.SSC)
    task = load_task(settings("ssc", tmp_path / "data"), tmp_path, 1)
    sizes = (task.train.n_samples, task.validation.n_samples, task.test.n_samples)
    assert sizes == tuple(len(made[split]) for split in ("train", "validation", "test"))


def slow_smnist(image: np.ndarray) -> list[tuple[int, int]]:
    """The definition of `smnist`, pixel by pixel: (microsecond, neuron), sorted."""
    found = []
    grey = [int(value) for row in image for value in row]
    for i, value in enumerate(grey):
        neurons = [0] if value == 255 else []
        for k in range(49):
            threshold = 254 * k // 48
            if i + 1 < len(grey) and (value < threshold) != (grey[i + 1] < threshold):
                neurons.append(99 - k if value < threshold else 50 - k)
        found += [((2 * i + repeat) * 1000, neuron) for neuron in neurons for repeat in (0, 1)]
    return sorted(found)


@pytest.mark.parametrize("packed", [False, True])
def test_smnist_is_its_definition_and_what_tonic_makes(packed: bool, tmp_path: Path, cache: Path) -> None:
    images = published_trees.mnist(tmp_path / "smnist", packed)
    task = load_task(settings("smnist", tmp_path), tmp_path, 1)
    found = samples_of(cache)
    for split, made in images.items():
        assert [sample.label for sample in found[split]] == [index % 2 + 7 for index in range(len(made))]
        for image, sample in zip(made, found[split], strict=True):
            assert [(t, x) for x, _y, _p, t in sample.rows] == slow_smnist(image)
    assert task.train.n_inputs == 99
    if not packed:
        from tonic.datasets import SMNIST

        for split, made in images.items():
            theirs = SMNIST(str(tmp_path), train=split == "train")
            for index in range(len(made)):
                events, label = theirs[index]
                assert label == found[split][index].label
                # tonic leaves both copies of a spike together, so that its times go back and forth.
                assert sorted(zip(events["t"], events["x"], strict=True)) == slow_smnist(made[index])


@pytest.mark.parametrize("packed", [False, True])
def test_smnist_is_read_from_a_zip(packed: bool, tmp_path: Path, cache: Path) -> None:
    loose, folder = tmp_path / "loose", tmp_path / "zipped"
    images = published_trees.mnist(loose, packed)
    folder.mkdir()
    with zipfile.ZipFile(folder / "mnist.zip", "w") as archive:
        for file in sorted(loose.iterdir()):
            archive.write(file, f"MNIST/raw/{file.name}")
    load_task(settings("smnist", folder), tmp_path, 1)
    for split, samples in samples_of(cache).items():
        assert [sample.label for sample in samples] == [index % 2 + 7 for index in range(len(images[split]))]
        for image, sample in zip(images[split], samples, strict=True):
            assert [(t, x) for x, _y, _p, t in sample.rows] == slow_smnist(image)


def test_smnist_without_its_labels_says_which_file_is_missing(tmp_path: Path, cache: Path) -> None:
    published_trees.mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte: t10k-labels-idx1-ubyte, .* does not lie beside it"):
        load_task(settings("smnist", tmp_path), tmp_path, 1)


def test_smnist_spans_the_whole_image_even_where_it_is_empty(tmp_path: Path, cache: Path) -> None:
    published_trees.mnist(tmp_path)
    load_task(settings("smnist", tmp_path), tmp_path, 1)
    (path,) = cache.glob("*.h5")
    assert read_recordings(path, "train").window_us == (0, 2 * 784 * 1000 - 1)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_manifest_says_source_licence_citation_sensor_and_checksum(name: str) -> None:
    manifest = read_manifest(name)
    assert manifest["name"] == name
    assert all(manifest[key] for key in ("title", "source", "citation"))
    assert any(word in manifest["licence"] for word in LICENCES)
    assert len(manifest["sensor_size"]) == 3
    assert manifest["md5"] and all(len(value) == MD5_DIGITS for value in manifest["md5"].values())
    for splits in (manifest["splits"], *manifest.get("splits_of", {}).values()):
        assert {"train", "test"} <= set(splits) <= {"train", "validation", "test"}
        assert all(size > 0 for size in splits.values())


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_another_sensor_size_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"task\.sensor_size = .* is not allowed with \"{name}\""):
        load_task(settings(name, tmp_path, sensor_size=(3, 3, 2)), tmp_path, 1)


@pytest.fixture
def recordings_dir() -> Path:
    name = "NEUROCHIP_DATA_DIR"
    if name not in os.environ:
        pytest.skip(f"{name} is not set, so there are no real recordings")
    return Path(os.environ[name])


def test_real_nmnist_recordings(recordings_dir: Path, tmp_path: Path, cache: Path) -> None:
    """20 recordings; the last of each digit serves as test split, as there is no file of the real one."""
    from tonic.io import read_mnist_file

    real = recordings_dir / "nmnist4" / "raw" / "NMNIST" / "Train"
    for digit in "6789":
        files = sorted((real / digit).glob("*.bin"))
        for index, file in enumerate(files):
            target = tmp_path / "data" / ("Test" if index == len(files) - 1 else "Train") / digit / file.name
            published_trees.put(target, file.read_bytes())
    task = load_task(settings("nmnist", tmp_path / "data"), tmp_path, 1)
    assert (task.train.n_samples + task.validation.n_samples, task.test.n_samples) == (16, 4)
    found = samples_of(cache)
    assert [sample.label for sample in found["train"]] == [digit for digit in (6, 7, 8, 9) for _ in range(4)]
    first = read_mnist_file(str(sorted((real / "6").glob("*.bin"))[0]), np.dtype([(name, int) for name in "xytp"]))
    assert found["train"][0].rows == [[int(event[name]) for name in "xypt"] for event in first]
    assert task.provenance["recordings"] == "test 4, train 16 (the whole published set: test 10000, train 60000)"


def test_real_poker_pips_and_the_recordings_they_were_cut_from(
    recordings_dir: Path, tmp_path: Path, cache: Path
) -> None:
    notes: list[str] = []
    task = load_task(settings("poker-dvs", recordings_dir / "pokerdvs"), tmp_path, 1, notes.append)
    assert (task.train.n_samples + task.validation.n_samples, task.test.n_samples) == (48, 20)
    assert "131 files of no official split left out" in " ".join(notes)
    labels = {split: Counter(sample.label for sample in found) for split, found in samples_of(cache).items()}
    assert labels == {"train": dict.fromkeys(range(4), 12), "test": dict.fromkeys(range(4), 5)}
    assert "(" not in task.provenance["recordings"]
    (tmp_path / "authors").mkdir()
    archive = recordings_dir / "pokerdvs" / "poker_dvs.tar.gz"
    published_trees.put(tmp_path / "authors" / archive.name, archive.read_bytes())
    whole = load_task(settings("poker-dvs", tmp_path / "authors"), tmp_path, 1)
    assert whole.train.n_samples + whole.validation.n_samples + whole.test.n_samples == 131
    assert Counter(whole.test.labels.tolist()) == {0: 9, 1: 7, 2: 13, 3: 10}
    assert whole.provenance["recordings"] == "test 39, train 92"


def test_real_mnist_images_in_spikes(recordings_dir: Path) -> None:
    from neurochip.readers import read
    from neurochip.tasks.smnist import encode

    items = read(recordings_dir / "mnist" / "t10k-images-idx3-ubyte.gz")
    for _, item in zip(range(3), items, strict=False):
        events = encode(item.pixels)
        assert list(zip(events.t.tolist(), events.x.tolist(), strict=True)) == slow_smnist(item.pixels)
