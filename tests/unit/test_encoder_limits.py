"""Do encoders refuse what would take gigabytes, and does what is done in blocks not depend on the blocks?"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from neurochip.encoding.encoded import Encoded
from neurochip.encoding.registry import make_encoder
from neurochip.errors import UserError


def rows(events: Encoded) -> list[list[int]]:
    return np.stack(events, axis=1).tolist()


def test_the_pixels_of_an_image_are_drawn_in_order_whatever_is_drawn_at_once(monkeypatch) -> None:
    from neurochip.encoding import rate

    image = np.random.default_rng(1).integers(0, 256, (9, 11), dtype=np.uint8)

    def rate_code(image: np.ndarray) -> Encoded:
        settings = {"distribution": "poisson", "peak": "2", "steps": "5"}
        return make_encoder("rate", "images", settings).encode([image], [np.random.default_rng(1)])[0]

    whole = rate_code(image)
    for pixels in (1, 10, 98):
        monkeypatch.setattr(rate, "BLOCK_PIXELS", pixels)
        assert rows(rate_code(image)) == rows(whole)


def test_images_that_are_seen_together_do_not_depend_on_each_other(monkeypatch) -> None:
    from neurochip.encoding import saccade

    images = [np.random.default_rng(k).integers(0, 256, (6, 5), dtype=np.uint8) for k in range(5)]
    encoder = make_encoder("saccade", "images", {"sensor_pixels": "8", "image_pixels": "7", "saccade_us": "20000"})
    monkeypatch.setattr(saccade, "MAX_GROUP_PIXELS", 2 * 64)
    found = encoder.encode(images, [np.random.default_rng(0)] * 5)
    assert [rows(events) for events in found] == [rows(encoder.encode([image], [])[0]) for image in images]
    assert all(len(events.t) for events in found)


@pytest.mark.parametrize(
    ("name", "image", "settings", "message"),
    [
        (
            "rate",
            (2048, 2048),
            {"distribution": "poisson", "peak": "16"},
            "one sample becomes .* events; allowed are 16",
        ),
        ("latency", (2400, 2400, 3), {}, "one sample becomes 17280000 events"),
        ("saccade", (1, 2**20), {}, "an image of 1048576 x 1 pixels"),
        (
            "saccade",
            (60, 60),
            {"sensor_pixels": "64", "image_pixels": "9", "threshold": "1", "dark_level": "1"},
            "one sample becomes",
        ),
    ],
)
def test_no_image_takes_gigabytes(monkeypatch, name, image, settings, message) -> None:
    from neurochip.encoding import encoded

    if name == "saccade":
        monkeypatch.setattr(encoded, "MAX_EVENTS", 10**5)
    pixels = np.full(image, 200, dtype=np.uint8)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            make_encoder(name, "images", settings).encode([pixels], [np.random.default_rng(0)])
        assert tracemalloc.get_traced_memory()[1] < 8 * pixels.size + 2**27
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("settings", "n_samples", "rate_hz", "message"),
    [
        (
            {"frame_us": "100", "bands": "1024"},
            2**18,
            16000,
            "makes 131072 frames of this sound; .* 16384 with 1024 bands",
        ),
        ({"frame_us": "100", "bands": "1024", "bank": "mel"}, 2**18, 16000, "makes 131072 frames of this sound"),
        (
            {"frame_us": "10000000"},
            100,
            2**24,
            "makes frames of 167772160 samples; allowed are at most 4194304 with 32",
        ),
        ({"frame_us": "10000000", "bank": "mel"}, 100, 96000, "960000 samples; .* 524288 with 32 bands of mel filters"),
    ],
)
def test_no_sound_takes_gigabytes(settings, n_samples, rate_hz, message) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            make_encoder("filter-bank", "sounds", settings).encode(np.zeros(n_samples, np.int32), rate_hz)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_long_frames_of_a_mel_bank_are_transformed_a_few_at_a_time(monkeypatch) -> None:
    from neurochip.encoding import filter_bank

    monkeypatch.setattr(filter_bank, "MAX_FRAME_SAMPLES", 2**17)
    encoder = make_encoder("filter-bank", "sounds", {"bank": "mel", "frame_us": "1000000", "bands": "2"})
    encoder.encode(np.ones(10, np.int32), 48000)  # scipy is imported
    tracemalloc.start()
    try:
        encoder.encode(np.ones(2**20, np.int32), 48000)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_memory_that_is_not_there_is_said(monkeypatch) -> None:
    from neurochip.encoding import latency

    def plane(image: np.ndarray) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(latency, "plane", plane)
    with pytest.raises(UserError, match="needs more memory to encode than there is"):
        make_encoder("latency", "images", {}).encode([np.zeros((2, 2), np.uint8)], [])
