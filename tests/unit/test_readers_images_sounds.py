"""MNIST files, images and sounds: every pixel and sample comes back, and what cannot be read is said."""

from __future__ import annotations

import gzip
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
from PIL import Image
from true_formats import idx_images, idx_labels, wav

from neurochip.errors import UserError
from neurochip.readers import RawImage, RawSound, ReadOptions, read, sniff

RANDOM = np.random.default_rng(3)
PIXELS = RANDOM.integers(0, 256, (5, 4, 6), np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def images(path: Path, options: ReadOptions | None = None, notes: list[str] | None = None) -> list[RawImage]:
    return [item for item in read(path, options, notes) if isinstance(item, RawImage)]


def sound(path: Path, options: ReadOptions | None = None, notes: list[str] | None = None) -> list[int]:
    items = [item for item in read(path, options, notes) if isinstance(item, RawSound)]
    assert [item.continues for item in items] == [False, True, True, True][: len(items)]
    return [int(sample) for item in items for sample in item.samples]


@pytest.mark.parametrize(
    ("name", "labels_name", "split"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "train"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte.gz", "test"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte", "train"),
        ("my-images.gz", "my-labels.gz", None),
    ],
)
def test_idx_images_find_their_labels_by_the_published_names(
    tmp_path: Path, name: str, labels_name: str, split: str | None
) -> None:
    (tmp_path / name).write_bytes(idx_images(PIXELS, name.endswith(".gz")))
    (tmp_path / labels_name).write_bytes(idx_labels(LABELS, labels_name.endswith(".gz")))
    assert sniff(tmp_path / name).name == "mnist-idx"
    assert sniff(tmp_path / labels_name).kind == "labels"
    items = images(tmp_path / name)
    np.testing.assert_array_equal([item.pixels for item in items], PIXELS)
    assert [item.label for item in items] == LABELS.tolist()
    assert {item.split for item in items} == {split}
    with pytest.raises(UserError, match="labels of MNIST images; give the file of the images"):
        read(tmp_path / labels_name)


def test_idx_labels_can_be_named_and_must_fit(tmp_path: Path) -> None:
    path, labels = tmp_path / "a", tmp_path / "b"
    path.write_bytes(idx_images(PIXELS))
    with pytest.raises(UserError, match="labels_path must name the file of the labels"):
        read(path)
    with pytest.raises(UserError, match=f"labels in {labels}: no such file"):
        read(path, ReadOptions(labels_path=labels))
    labels.write_bytes(idx_labels(LABELS[:4]))
    with pytest.raises(UserError, match="4 labels for 5 images"):
        read(path, ReadOptions(labels_path=labels))
    labels.write_bytes(idx_labels(LABELS))
    assert len(images(path, ReadOptions(labels_path=labels))) == 5


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (idx_images(PIXELS)[:-1], "declares 5 x 4 x 6 bytes and holds 119"),
        (idx_images(PIXELS) + b"1", "declares 5 x 4 x 6 bytes and holds at least 121"),
        (idx_images(PIXELS)[:10], "does not begin with the IDX mark 00000803 and its shape"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "more than its 16 can hold"),
        (b"\0\0\x08\x03" + struct.pack(">III", 1, 1, 5000) + bytes(5000), "5000 x 1 pixels"),
        (idx_images(PIXELS, packed=True)[:-6], "damaged gzip data"),
        (gzip.compress(idx_images(PIXELS)[:16] + bytes(10**7)), "holds at least"),
    ],
)
def test_idx_files_must_hold_exactly_what_they_declare(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "images").write_bytes(data)
    (tmp_path / "labels").write_bytes(idx_labels(LABELS))
    with pytest.raises(UserError, match=message):
        read(tmp_path / "images")


def test_a_wrong_check_sum_refuses_a_gzip_file_before_its_first_image(tmp_path: Path) -> None:
    data = bytearray(idx_images(PIXELS, packed=True))
    data[-5] ^= 1
    (tmp_path / "images").write_bytes(data)
    with pytest.raises(UserError, match="damaged gzip data"):
        read(tmp_path / "images")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_images_come_back_grey_or_in_colour(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    pixels = RANDOM.integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "data", kind)
    assert sniff(tmp_path / "data").name == "image"
    (item,) = images(tmp_path / "data")
    np.testing.assert_array_equal(item.pixels, pixels)


def test_jpeg_and_palette_images_are_decoded(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 130, np.uint8)).save(tmp_path / "a", "JPEG", quality=95)
    assert np.abs(images(tmp_path / "a")[0].pixels.astype(int) - 130).max() <= 2
    palette = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "L").convert("RGB").quantize(16)
    palette.save(tmp_path / "b", "PNG")
    np.testing.assert_array_equal(images(tmp_path / "b")[0].pixels, np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("mode", "message"), [("RGBA", "kind RGBA"), ("LA", "kind LA"), ("I;16", "kind I;16"), ("CMYK", "kind CMYK")]
)
def test_images_of_other_pixels_are_refused(tmp_path: Path, mode: str, message: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "data", "JPEG" if mode == "CMYK" else "PNG")
    with pytest.raises(UserError, match=message):
        read(tmp_path / "data")


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "data", "PNG", transparency=0)
    with pytest.raises(UserError, match="transparent pixels"):
        read(tmp_path / "data")


def test_an_image_that_promises_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"P5 9000 9000 255\n" + bytes(100))
    with pytest.raises(UserError, match="declares 9000 x 9000 pixels"):
        read(tmp_path / "data")


INT16 = np.array([-32768, -1, 0, 1, 32767, 1234], np.int16)


def test_16_bit_sounds_agree_with_scipy_and_the_standard_library(tmp_path: Path) -> None:
    scipy.io.wavfile.write(tmp_path / "scipy", 16000, INT16)
    with wave.open(str(tmp_path / "wave"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(INT16.tobytes())
    for name, rate in (("scipy", 16000), ("wave", 8000)):
        assert sniff(tmp_path / name).name == "wav"
        (item,) = read(tmp_path / name)
        assert isinstance(item, RawSound) and item.rate_hz == rate
        np.testing.assert_array_equal(item.samples, INT16.astype(np.int32) << 16)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("frames", "bits", "code", "expected"),
    [
        (bytes([0, 127, 128, 129, 255]), 8, 1, [-(2**31), -(2**24), 0, 2**24, 127 * 2**24]),
        (b"\x00\x00\x80\xff\xff\xff\x01\x00\x00", 24, 1, [-(2**31), -256, 256]),
        (struct.pack("<3i", -(2**31), 5, 2**31 - 1), 32, 1, [-(2**31), 5, 2**31 - 1]),
        (struct.pack("<4f", -1, 0.5, 1, -(2.0**-31)), 32, 3, [-(2**31), 2**30, 2**31 - 1, -1]),
        (struct.pack("<3d", -1, 0.25, 1e-12), 64, 3, [-(2**31), 2**29, 0]),
    ],
)
def test_samples_of_every_width_have_the_same_full_scale(
    tmp_path: Path, frames: bytes, bits: int, code: int, expected: list[int], extensible: bool
) -> None:
    (tmp_path / "data").write_bytes(wav(frames, 1, bits, code, extensible=extensible))
    assert sound(tmp_path / "data") == expected


def test_a_channel_is_chosen_from_several(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(wav(INT16.tobytes(), 2, 16))
    with pytest.raises(UserError, match="has 2 channels; channel must say which one, 0 to 1"):
        read(tmp_path / "data")
    with pytest.raises(UserError, match="channel = 2 is not in the file"):
        read(tmp_path / "data", ReadOptions(channel=2))
    for channel in (0, 1):
        expected = (INT16.astype(int) << 16)[channel::2].tolist()
        assert sound(tmp_path / "data", ReadOptions(channel=channel)) == expected


def test_long_sounds_come_in_items(tmp_path: Path) -> None:
    samples = RANDOM.integers(-(2**15), 2**15, 2**21 + 5).astype(np.int16)
    (tmp_path / "data").write_bytes(wav(samples.tobytes(), 1, 16))
    items = [item for item in read(tmp_path / "data") if isinstance(item, RawSound)]
    assert [len(item.samples) for item in items] == [2**20, 2**20, 5]
    assert sound(tmp_path / "data") == (samples.astype(int) << 16).tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wav(b"", 1, 12), "format 1 with 12 bits"),
        (wav(b"", 1, 8, 7), "format 7 with 8 bits"),
        (wav(b"", 0, 16), "0 channels"),
        (wav(b"", 1, 16, rate_hz=0), "at 0 Hz"),
        (wav(b"", 1, 16).replace(b"fmt ", b"fmtx"), "before the fmt chunk"),
        (wav(b"", 1, 16)[:40], "without its data"),
        (wav(b"", 1, 16)[:14], "without its fmt and data"),
    ],
)
def test_sound_headers_are_judged(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "data").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "data")


def test_sounds_that_end_early_or_leave_the_range_are_read_up_to_there(tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(wav(INT16.tobytes(), 1, 16)[:-3])
    (tmp_path / "loud").write_bytes(wav(struct.pack("<3f", 0.5, 1.5, 0), 1, 32, 3))
    (tmp_path / "nan").write_bytes(wav(struct.pack("<3f", 0.5, np.nan, 0), 1, 32, 3))
    for name, message, n in (
        ("cut", "inside frame 4", 4),
        ("loud", "sample 1 is no number", 1),
        ("nan", "sample 1", 1),
    ):
        with pytest.raises(UserError, match=message):
            list(read(tmp_path / name))
        assert len(sound(tmp_path / name, notes=[])) == n


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"#!AER-DAT3.0\r\n", r"AEDAT 3, but not 3\.1 \(3\.0 counts rows from below\); convert it"),
        (b"% evt 3.0\n", "Prophesee RAW; convert it"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (b"PK\x03\x04" + bytes(40), "zip archive without numpy arrays"),
        (b"words", "no known format; known are aedat2, aedat3, aedat4"),
        (b"BM" + bytes(30), "no known format"),
    ],
)
def test_files_of_other_formats_are_named_if_they_are_known(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "data").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / "data")
    assert str(caught.value).startswith(f"{tmp_path / 'data'}: ")


def test_options_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(wav(b"", 1, 16))
    with pytest.raises(UserError, match="stream = 1 does not apply to wav; it does to aedat3, aedat4"):
        read(tmp_path / "data", ReadOptions(stream=1))
    with pytest.raises(UserError, match="format = 'wave' is unknown"):
        read(tmp_path / "data", ReadOptions(format="wave"))
    with pytest.raises(UserError, match="chunk_events = 0"):
        read(tmp_path / "data", ReadOptions(chunk_events=0))
    with pytest.raises(UserError, match="not a file"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        sniff(tmp_path / "nothing")
    for name in ("aedat2", "aedat4", "event-array", "shd-h5", "events-h5", "mnist-idx", "image", "prophesee-dat"):
        with pytest.raises(UserError):
            list(read(tmp_path / "data", ReadOptions(format=name)))
