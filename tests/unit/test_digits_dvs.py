"""The default task: its camera, its splits and its cache."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neurochip.encoding import dvs_camera
from neurochip.errors import UserError
from neurochip.tasks import digits_dvs, load_task
from neurochip.tasks.manifest import read_manifest

SPLITS = ("train", "validation", "test")
GOLDEN_SHA256 = "9497abaa3a2d864d47053df153dbb10cd01294a9cceb4c40a764a80a3face180"


def settings(**changes):
    values = {"name": "digits-dvs", "path": None, "steps": 20, "repeat": "once", "classes": None}
    values |= {"sensor_size": None, "crop": None, "validation": None, "event_bits": 1}
    values |= {"download": False, "transforms": None}
    return SimpleNamespace(**(values | changes))


@pytest.fixture(scope="module")
def recordings():
    return digits_dvs.make_recordings(*digits_dvs.read_digits())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(digits_dvs, "default_cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_recordings_are_the_same_on_every_machine(recordings):
    """The camera computes in integers, so one number holds everywhere. It was printed by

    python -c "from neurochip.tasks import digits_dvs as d; print(d.events_sha256(d.make_recordings(*d.read_digits())))"
    """
    assert digits_dvs.events_sha256(recordings) == GOLDEN_SHA256


def test_no_entry_of_the_log_table_is_near_a_rounding_tie():
    """Another machine's logarithm may differ in the last place; that must not change an entry."""
    camera = digits_dvs.CAMERA
    logs = [camera.log_scale * math.log1p(level / camera.dark_level) for level in range(camera.levels + 1)]
    assert min(abs(value % 1 - 0.5) for value in logs) > 1e-6


def test_a_linear_classifier_of_event_counts_reads_the_digits(recordings):
    from sklearn.linear_model import LogisticRegression

    features = {name: np.log1p(raw_counts(recordings[name])) for name in ("train", "test")}
    model = LogisticRegression(max_iter=2000).fit(features["train"], recordings["train"].labels)
    accuracy = model.score(features["test"], recordings["test"].labels)
    print(f"logistic regression on log(1 + counts): {accuracy:.4f} of the test recordings")
    assert accuracy >= 0.90


def raw_counts(recordings):
    width, height, polarities = recordings.sensor_size
    addresses = (recordings.p.astype(int) * height + recordings.y) * width + recordings.x
    counts = np.zeros((recordings.n_samples, width * height * polarities))
    np.add.at(counts, (np.repeat(np.arange(recordings.n_samples), np.diff(recordings.offsets)), addresses), 1)
    return counts


def test_the_recordings_are_sparse_and_last_three_saccades(recordings):
    everything = np.concatenate([np.diff(recordings[name].offsets) for name in SPLITS])
    assert 150 <= everything.mean() <= 600
    assert everything.min() > 0
    for part in recordings.values():
        assert part.t.min() >= 0
        assert part.t.max() <= 300_000
        # Each saccade makes events of its own.
        assert np.all(np.histogram(part.t, bins=[0, 100_000, 200_000, 300_000])[0] > len(part.t) / 5)
        # The image ends where it began, so ON and OFF balance.
        assert abs(part.p.mean() - 0.5) < 0.01


def test_the_splits_are_disjoint_complete_and_in_proportion():
    images, labels = digits_dvs.read_digits()
    parts = digits_dvs.splits.stratified_split(labels, tuple(digits_dvs.SPLIT_SIZES.values()), digits_dvs.SPLIT_SEED)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(images)))
    for part in parts:
        expected = np.bincount(labels) * len(part) / len(labels)
        assert np.all(np.abs(np.bincount(labels[part], minlength=10) - expected) <= 1)


def test_the_task_has_the_shape_its_manifest_promises(cache):
    task = load_task(settings(), cache, seed=1)
    manifest = read_manifest("digits-dvs")
    assert {name: getattr(task, name).n_samples for name in SPLITS} == manifest["splits"]
    assert list(task.classes) == manifest["classes"]
    assert list(task.sensor_size) == manifest["sensor_size"]
    assert (task.n_inputs, task.n_steps) == (512, 20)
    assert task.provenance["licence"] == manifest["licence"]


def test_the_task_does_not_depend_on_the_seed_and_can_be_a_subset(cache):
    first, second = load_task(settings(), cache, seed=1), load_task(settings(), cache, seed=2)
    np.testing.assert_array_equal(first.validation.addresses, second.validation.addresses)
    assert first.provenance == second.provenance
    few = load_task(settings(classes=[3, 1]), cache, seed=1)
    assert few.classes == (3, 1)
    assert np.bincount(few.test.labels).tolist() == [np.sum(first.test.labels == k) for k in (3, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "x.h5"}, r"task\.path = 'x\.h5' is not allowed with \"digits-dvs\""),
        ({"sensor_size": (34, 34, 2)}, r"task\.sensor_size = \(34, 34, 2\) is not allowed .* it is \(16, 16, 2\)"),
        ({"classes": [3, 10]}, r"task\.classes has 10, which has no training recording"),
    ],
)
def test_settings_that_do_not_fit_are_refused(cache, change, message):
    with pytest.raises(UserError, match=message):
        load_task(settings(**change), cache, seed=1)


def test_the_cache_gives_back_what_was_made_and_is_used(cache, recordings, monkeypatch):
    digits_dvs.cached_recordings(cache)
    assert [path.suffix for path in cache.iterdir()] == [".h5"]
    monkeypatch.setattr(digits_dvs, "make_recordings", lambda *_: pytest.fail("the cache was not used"))
    assert digits_dvs.events_sha256(digits_dvs.cached_recordings(cache)) == digits_dvs.events_sha256(recordings)


def test_a_damaged_cache_file_is_made_again(cache, recordings):
    digits_dvs.cached_recordings(cache)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle], whole[:middle] + bytes(64) + whole[middle + 64 :]):
        path.write_bytes(damaged)
        notes: list[str] = []
        made = digits_dvs.cached_recordings(cache, notes.append)
        assert digits_dvs.events_sha256(made) == digits_dvs.events_sha256(recordings)
        assert any("again" in note for note in notes)
        notes.clear()
        digits_dvs.cached_recordings(cache, notes.append)
        assert notes == []


def test_a_cache_file_with_other_events_is_made_again(cache, recordings):
    """A flipped bit that the file format does not notice."""
    digits_dvs.cached_recordings(cache)
    (path,) = cache.iterdir()
    with h5py.File(path, "r+") as file:
        polarity = file["test/p"]
        polarity[0] = 1 - polarity[0]
    made = digits_dvs.cached_recordings(cache)
    assert digits_dvs.events_sha256(made) == digits_dvs.events_sha256(recordings)


def test_a_cache_folder_that_cannot_be_written_costs_a_note_only(tmp_path, recordings):
    (tmp_path / "file").write_text("not a folder")
    notes: list[str] = []
    made = digits_dvs.cached_recordings(tmp_path / "file" / "cache", notes.append)
    assert digits_dvs.events_sha256(made) == digits_dvs.events_sha256(recordings)
    assert any("cannot be written" in note for note in notes)


def test_another_camera_has_another_cache_file(cache, monkeypatch):
    digits_dvs.cached_recordings(cache)
    monkeypatch.setattr(digits_dvs, "CAMERA", dataclasses.replace(digits_dvs.CAMERA, threshold=700))
    digits_dvs.cached_recordings(cache)
    assert len(list(cache.iterdir())) == 2


def bilinear(camera, rows, columns, dx, dy):
    """Integer weights [sensor pixels, image pixels] of bilinear sampling, and the value that means 1."""
    down, unit_y = dvs_camera._line_weights(camera, rows, dy)
    across, unit_x = dvs_camera._line_weights(camera, columns, dx)
    return np.kron(down, across), unit_x * unit_y


def test_integer_sampling_is_bilinear_interpolation():
    """Against scipy's, at positions between pixels."""
    from scipy.ndimage import map_coordinates

    camera, (dx, dy) = digits_dvs.CAMERA, (-37, 52)
    image = digits_dvs.read_digits()[0][5]
    weights, unit = bilinear(camera, 8, 8, dx, dy)
    found = (weights @ image.ravel() / unit).reshape(camera.sensor_pixels, camera.sensor_pixels)
    margin = (camera.sensor_pixels - camera.digit_pixels) / 2
    pixel = np.arange(camera.sensor_pixels) + 0.5 - margin
    across = (pixel - dx / dvs_camera.SUBPIXELS) * 8 / camera.digit_pixels - 0.5
    down = (pixel - dy / dvs_camera.SUBPIXELS) * 8 / camera.digit_pixels - 0.5
    padded = np.pad(image.astype(float), 2)
    expected = map_coordinates(padded, np.meshgrid(down + 2, across + 2, indexing="ij"), order=1)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_camera_equals_its_definition_pixel_by_pixel(recordings):
    """Event by event: one ON or OFF whenever the log intensity has moved by one threshold since the last."""
    camera = digits_dvs.CAMERA
    images, labels = digits_dvs.read_digits()
    one = dvs_camera.record(camera, images[:1], labels[:1], 16)
    table, events, previous, memory = dvs_camera._log_table(camera), [], None, None
    for frame, (dx, dy) in enumerate(dvs_camera._displacements(camera)):
        weights, unit = bilinear(camera, 8, 8, dx, dy)
        sums = [sum(int(w) * int(v) for w, v in zip(row, images[0].ravel(), strict=True)) for row in weights]
        current = [int(table[total * camera.levels // (16 * unit)]) for total in sums]
        memory = memory or list(current)
        for pixel, (now, before) in enumerate(zip(current, previous or current, strict=True)):
            while abs(now - memory[pixel]) >= camera.threshold:
                on = now > memory[pixel]
                memory[pixel] += camera.threshold if on else -camera.threshold
                part = (memory[pixel] - before) * camera.frame_us // (now - before)
                events.append(((frame - 1) * camera.frame_us + part, int(on), pixel))
        previous = current
    found = zip(one.t.tolist(), one.p.tolist(), (one.y * 16 + one.x).tolist(), strict=True)
    assert list(found) == sorted(events)
