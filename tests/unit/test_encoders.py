"""Do the encoders make the events that their docstrings' equations say?"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from neurochip.encoding.delta import level_crossings, send_on_delta
from neurochip.encoding.encoded import Encoded, check_number, grey, plane
from neurochip.encoding.event_steps import bin_events
from neurochip.encoding.registry import list_encoders, make_encoder
from neurochip.errors import UserError
from neurochip.events import Recordings

LEVELS = np.array([[0, 1, 13, 60], [127, 128, 200, 255], [255, 12, 254, 90]], dtype=np.uint8)


def rows(events: Encoded) -> list[tuple[int, int, int, int]]:
    return [(int(t), int(y), int(x), int(p)) for x, y, p, t in zip(*events, strict=True)]


def encode(name: str, image: np.ndarray = LEVELS, seed: int = 5, **settings: str) -> Encoded:
    return make_encoder(name, "images", settings).encode([image], [np.random.default_rng([seed, 0])])[0]


def recordings(name: str, events: Encoded, image: np.ndarray = LEVELS, **settings: str) -> Recordings:
    encoder = make_encoder(name, "images", settings)
    offsets = np.array([0, len(events.t)])
    return Recordings(*events, offsets, np.array([0]), encoder.sensor_size(image), encoder.window_us)


def test_every_encoder_is_listed_under_what_it_encodes() -> None:
    assert list_encoders("images") == ["direct", "latency", "rate", "saccade"]
    assert list_encoders("sounds") == ["delta", "filter-bank"]


def bernoulli(level: int, drawn: int, peak: Fraction) -> int:
    probability = round(2**32 * min(Fraction(1), peak * level / 255))
    return int(drawn >= 2**32 - probability)


def poisson(level: int, drawn: int, peak: Fraction) -> int:
    mean = float(peak) * level / 255
    total, count = 0.0, 0
    while True:
        total += math.exp(-mean) * mean**count / math.factorial(count)
        if drawn < round(2**32 * min(1.0, total)):
            return count
        count += 1


@pytest.mark.parametrize(("distribution", "count"), [("bernoulli", bernoulli), ("poisson", poisson)])
@pytest.mark.parametrize("peak", [Fraction(1, 2), Fraction(2)])
def test_rate_draws_the_events_of_every_step_from_the_generator(distribution, count, peak) -> None:
    found = encode("rate", steps="40", step_us="100", peak=str(float(peak)), distribution=distribution)
    rng, expected = np.random.default_rng([5, 0]), []
    for step in range(40):
        drawn = rng.integers(2**32, size=12, dtype=np.uint64)
        for pixel, (level, value) in enumerate(zip(LEVELS.ravel().tolist(), drawn.tolist(), strict=True)):
            expected += [(100 * step, pixel // 4, pixel % 4, 0)] * count(level, value, peak)
    assert rows(found) == expected
    assert len(expected) > 40


@pytest.mark.parametrize("distribution", ["bernoulli", "poisson"])
def test_rate_has_the_mean_that_it_promises(distribution) -> None:
    image = np.full((40, 50), 102, dtype=np.uint8)
    found = encode("rate", image, steps="100", peak="0.5", distribution=distribution)
    mean, n = 0.5 * 102 / 255, 40 * 50 * 100
    assert abs(len(found.t) - n * mean) < 5 * math.sqrt(n * mean)


def linear(level: int, threshold: int, last: int) -> int:
    return last * (255 - level) // (255 - threshold - 1)


def logarithmic(level: int, threshold: int, last: int) -> int:
    rise = [math.log(at / (at - (threshold + 0.5))) for at in (level, 255, threshold + 1)]
    return math.floor(last * ((rise[0] - rise[1]) / (rise[2] - rise[1])))


@pytest.mark.parametrize(("curve", "time"), [("linear", linear), ("log", logarithmic)])
@pytest.mark.parametrize("threshold", [0, 12])
def test_latency_sends_one_event_earlier_for_brighter_pixels(curve, time, threshold) -> None:
    found = encode("latency", curve=curve, threshold=str(threshold), duration_us="5000")
    pixels = [(level, *divmod(at, 4)) for at, level in enumerate(LEVELS.ravel().tolist()) if level > threshold]
    assert rows(found) == sorted((time(level, threshold, 4999), y, x, 0) for level, y, x in pixels)
    assert (found.t[0], found.t[-1]) == (0, time(min(level for level, _, _ in pixels), threshold, 4999))


def test_latency_of_the_brightest_level_alone_is_zero() -> None:
    assert rows(encode("latency", threshold="254")) == [(0, 1, 3, 0), (0, 2, 0, 0)]


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_graded_value_survives_as_repeated_events(bits) -> None:
    settings = {"bits": str(bits), "steps": "3", "step_us": "7"}
    made = recordings("direct", encode("direct", **settings), **settings)
    data = bin_events(made, 3, "count", [0], 2**bits - 1)
    expected = [round(Fraction(level * (2**bits - 1), 255)) for level in LEVELS.ravel().tolist()]
    steps = data.sample(0)
    for step in range(3):
        part = slice(steps.step_offsets[step], steps.step_offsets[step + 1])
        found = dict(zip(steps.addresses[part].tolist(), steps.magnitudes[part].tolist(), strict=True))
        assert found == {pixel: value for pixel, value in enumerate(expected) if value}


def test_steps_of_the_rate_code_come_back_even_if_the_first_and_last_are_silent() -> None:
    settings = {"steps": "9", "step_us": "1000", "peak": "0.1"}
    events = encode("rate", seed=0, **settings)
    assert events.t[0] > 0 and events.t[-1] < 8000  # else the test shows nothing
    data = bin_events(recordings("rate", events, **settings), 9, "once", [0], 1)
    per_step = np.diff(data.sample(0).step_offsets)
    assert per_step.tolist() == np.bincount(events.t // 1000, minlength=9).tolist()


def test_a_sample_does_not_depend_on_the_others_of_its_group() -> None:
    encoder = make_encoder("rate", "images", {})
    rngs = [np.random.default_rng([1, k]) for k in range(3)]
    together = encoder.encode([LEVELS, LEVELS[::-1], LEVELS], rngs)
    alone = encoder.encode([LEVELS], [np.random.default_rng([1, 2])])
    assert rows(together[2]) == rows(alone[0])
    assert rows(together[0]) != rows(together[2])


def test_channels_of_a_colour_image_lie_below_each_other_as_a_map_has_them() -> None:
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert plane(image).ravel().tolist() == [int(image[y, x, c]) for c in range(3) for y in range(2) for x in range(4)]
    assert make_encoder("rate", "images", {}).sensor_size(image) == (4, 6, 1)
    assert grey(np.array([[[255, 0, 10]]], dtype=np.uint8)).tolist() == [[(299 * 255 + 1140 + 500) // 1000]]


def delta_by_hand(signal: list[int], threshold: int) -> list[int]:
    memory, changes = signal[0], []
    for value in signal:
        change = 0
        while value - memory >= threshold:
            memory, change = memory + threshold, change + 1
        while memory - value >= threshold:
            memory, change = memory - threshold, change - 1
        changes.append(change)
    return changes


def crossings_by_hand(signal: list[int], threshold: int) -> list[int]:
    changes = [0]
    for before, after in itertools.pairwise(signal):
        low, high = min(before, after), max(before, after)
        crossed = sum(low < level * threshold <= high for level in range(-1000, 1000))
        changes.append(crossed if after > before else -crossed)
    return changes


@pytest.mark.parametrize(("code", "by_hand"), [(send_on_delta, delta_by_hand), (level_crossings, crossings_by_hand)])
def test_changes_are_sent_as_often_as_they_pass_the_threshold(code, by_hand) -> None:
    signal = np.random.default_rng(3).integers(-200, 200, (60, 4))
    expected = np.array([by_hand(signal[:, channel].tolist(), 17) for channel in range(4)]).T
    np.testing.assert_array_equal(code(signal, 17), expected)


def test_only_send_on_delta_has_hysteresis() -> None:
    wavering = np.array([[99], [101], [99], [101]])
    assert send_on_delta(wavering, 100).any() == np.False_
    assert level_crossings(wavering, 100).ravel().tolist() == [0, 1, -1, 1]


def tone(frequency: float, rate_hz: int = 16000, amplitude: float = 0.5, n: int = 8000) -> np.ndarray:
    t = np.arange(n) / rate_hz
    return np.round(amplitude * 2**31 * np.sin(2 * np.pi * frequency * t)).astype(np.int32)


def energy_gammatone(samples: np.ndarray, rate_hz: int, centre: float, frame: int) -> list[float]:
    """The equation of the docstring, sample by sample."""
    decay = math.exp(-2 * math.pi * 1.019 * 24.7 * (1 + 0.00437 * centre) / rate_hz)
    pole = decay * complex(math.cos(2 * math.pi * centre / rate_hz), math.sin(2 * math.pi * centre / rate_hz))
    state, power = [0j] * 4, []
    for sample in (samples / 2**31).tolist():
        value: complex = sample
        for order in range(4):
            state[order] = value = value + pole * state[order]
        power.append((2 * (1 - decay) ** 4 * value.real) ** 2)
    power += [0.0] * (-len(power) % frame)
    return [math.fsum(power[at : at + frame]) / frame for at in range(0, len(power), frame)]


def test_gammatone_energies_are_those_of_the_equation(monkeypatch) -> None:
    from neurochip.encoding import filter_bank

    encoder = make_encoder("filter-bank", "sounds", {"bands": "3", "low_hz": "200", "high_hz": "3000"})
    samples = np.random.default_rng(1).integers(-(2**30), 2**30, 900).astype(np.int32)
    whole = encoder._gammatone(samples, 8000, 80)
    expected = [energy_gammatone(samples[:880], 8000, centre, 80) for centre in encoder.centres_hz()]
    np.testing.assert_allclose(whole[:11], np.array(expected).T, rtol=1e-9)
    monkeypatch.setattr(filter_bank, "BLOCK_SAMPLES", 160)
    np.testing.assert_allclose(encoder._gammatone(samples, 8000, 80), whole, rtol=1e-12)


def test_mel_energies_are_those_of_the_equation(monkeypatch) -> None:
    from neurochip.encoding import filter_bank

    encoder = make_encoder("filter-bank", "sounds", {"bank": "mel", "bands": "4", "low_hz": "50", "high_hz": "4000"})
    samples = np.random.default_rng(1).integers(-(2**30), 2**30, 200).astype(np.int32)
    found = encoder._mel(samples, 8000, 20)
    low, high = 2595 * math.log10(1 + 50 / 700), 2595 * math.log10(1 + 4000 / 700)
    corners = [700 * (10 ** ((low + (high - low) * k / 5) / 2595) - 1) for k in range(6)]
    window = [0.5 - 0.5 * math.cos(2 * math.pi * k / 40) for k in range(40)]
    padded = [0.0] * 10 + (samples / 2**31).tolist() + [0.0] * 40
    for frame in (0, 4, 9):
        part = [value * w for value, w in zip(padded[frame * 20 : frame * 20 + 40], window, strict=True)]
        for band in range(4):
            left, centre, right = corners[band : band + 3]
            energy = 0.0
            for k in range(21):
                f = k * 8000 / 40
                weight = max(0.0, min((f - left) / (centre - left), (right - f) / (right - centre)))
                spectrum = sum(v * np.exp(-2j * math.pi * k * n / 40) for n, v in enumerate(part))
                energy += weight * (1 if k in (0, 20) else 2) * abs(spectrum) ** 2
            assert found[frame, band] == pytest.approx(energy / (40 * sum(w * w for w in window)), rel=1e-9)
    monkeypatch.setattr(filter_bank, "BLOCK_FRAMES", 3)
    np.testing.assert_allclose(encoder._mel(samples, 8000, 20), found, rtol=1e-12)


@pytest.mark.parametrize("bank", ["gammatone", "mel"])
@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_tone_is_loudest_in_the_band_of_its_frequency(bank, frequency) -> None:
    settings = {"bank": bank, "bands": "24", "low_hz": "100", "high_hz": "6000"}
    encoder = make_encoder("filter-bank", "sounds", settings)
    energies = encoder._gammatone if bank == "gammatone" else encoder._mel
    found = energies(tone(frequency), 16000, 80)[20:80].mean(axis=0)
    if bank == "gammatone":
        nearest = int(np.argmin(np.abs(np.log(encoder.centres_hz() / frequency))))
        assert int(found.argmax()) == nearest
    else:
        mel = [2595 * math.log10(1 + f / 700) for f in (100, 6000, frequency)]
        nearest = round((mel[2] - mel[0]) / (mel[1] - mel[0]) * 25) - 1
        assert abs(int(found.argmax()) - nearest) <= 1
    assert 0.02 < found.max() < 0.2  # the mean square of the tone is 0.125


def test_a_tone_that_starts_and_ends_sends_on_then_off() -> None:
    sound = np.concatenate([np.zeros(4000, np.int32), tone(1000, n=4000), np.zeros(8000, np.int32)])
    found = make_encoder("filter-bank", "sounds", {"bands": "8"}).encode(sound, 16000)
    band = int(np.bincount(found.x).argmax())
    of_band = found.x == band
    on, off = found.t[of_band & (found.p == 1)], found.t[of_band & (found.p == 0)]
    assert on.min() >= 245_000 and off.max() > on.max()
    assert abs(len(on) - len(off)) <= 1
    assert (np.diff(found.t) >= 0).all()


def test_a_duration_cuts_the_sound_and_gives_all_samples_one_window() -> None:
    encoder = make_encoder("filter-bank", "sounds", {"duration_us": "100000"})
    found = encoder.encode(tone(700), 16000)
    assert encoder.window_us == (0, 99_999)
    assert len(found.t) > 0 and found.t.max() < 100_000


def test_the_saccade_camera_sees_what_dvs_camera_records() -> None:
    from neurochip.encoding.dvs_camera import DvsCamera, record

    image = np.zeros((6, 6, 3), dtype=np.uint8)
    image[2:4, 1:5] = (200, 100, 50)
    settings = {"sensor_pixels": "10", "image_pixels": "8", "saccade_us": "20000"}
    found = encode("saccade", image, **settings)
    corners = ((-80, -80), (80, -80), (0, 80))
    camera = DvsCamera(10, 8, corners, 20_000, 2_000, 255, 64, 1000, 500)
    expected = record(camera, grey(image)[None].astype(np.int64), np.zeros(1, np.int64), 255)
    assert len(found.t) == len(expected.t) > 50
    for name, values in zip("xypt", found, strict=True):
        np.testing.assert_array_equal(values, getattr(expected, name))


@pytest.mark.parametrize(
    ("name", "kind", "settings", "message"),
    [
        ("rates", "images", {}, "--encoder rates is not an encoder of images; allowed are direct, latency, rate, sacc"),
        ("rate", "sounds", {}, "--encoder rate is not an encoder of sounds; allowed are delta, filter-bank"),
        ("rate", "images", {"step": "3"}, "--set step: the encoder rate has no such parameter; allowed are steps, "),
        ("rate", "images", {"steps": "0"}, "--set steps=0 must be an integer from 1 to 32767"),
        ("rate", "images", {"steps": "2.5"}, "--set steps=2.5 must be an integer"),
        ("rate", "images", {"peak": "nan"}, "--set peak=nan must be a number from 0.0 to 16.0"),
        ("rate", "images", {"peak": "inf"}, "--set peak=inf must be a number"),
        ("latency", "images", {"curve": "square"}, "--set curve=square must be one of linear, log"),
    ],
)
def test_wrong_encoders_and_parameters_are_refused(name, kind, settings, message) -> None:
    with pytest.raises(UserError) as caught:
        make_encoder(name, kind, settings)
    assert message in str(caught.value)


def test_what_no_sensor_or_sound_can_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"image_pixels=28 is more than sensor_pixels = 20"):
        encode("saccade", sensor_pixels="20")
    with pytest.raises(UserError, match=r"low_hz=100 and high_hz=3800 do not fit a sound of 4000 samples per second"):
        make_encoder("filter-bank", "sounds", {}).encode(tone(100, 4000), 4000)
    with pytest.raises(UserError, match=r"an image of 2 x 39000 pixels .*; allowed is 32767"):
        make_encoder("rate", "images", {}).sensor_size(np.zeros((13000, 2, 3), np.uint8))
    with pytest.raises(UserError, match=r"one sample becomes \d+ events; allowed are 16777216"):
        check_number(2**24 + 1)
    with pytest.raises(UserError, match="one sample becomes 83886080 events"):
        encode("direct", np.full((64, 64), 255, np.uint8), bits="1", steps="20480")


@pytest.mark.parametrize(("code", "sign"), [("delta", math.trunc), ("level", None)])
@pytest.mark.parametrize("duration_us", [0, 2000])
def test_delta_sends_the_changes_of_a_waveform(code: str, sign, duration_us: int) -> None:
    samples = np.random.default_rng(3).integers(-(2**31), 2**31, 40, dtype=np.int32)
    samples[:3] = [2**31 - 1, -(2**31), -(2**31)]
    settings = {"code": code, "threshold": "3000", "duration_us": str(duration_us)}
    encoder = make_encoder("delta", "sounds", settings)
    levels = [int(value) // 2**16 for value in samples]
    expected, memory = [], levels[0]
    for k in range(1, len(levels)):
        if sign:
            n = math.trunc(Fraction(levels[k] - memory, 3000))
            memory += n * 3000
        else:
            n = levels[k] // 3000 - levels[k - 1] // 3000
        t = k * 1_000_000 // 8000
        if not duration_us or t < duration_us:
            expected += [(t, 0, 0, int(n > 0))] * abs(n)
    assert rows(encoder.encode(samples, 8000)) == expected
    assert len(expected) > 50
    assert encoder.sensor == (1, 1, 2)
    assert encoder.window_us == ((0, duration_us - 1) if duration_us else None)
