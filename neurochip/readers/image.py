"""Images: PNG, JPEG, BMP and PGM/PPM, 8 bits per channel, grey or colour, decoded by Pillow.

The size in the header is judged before any pixel is decoded.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurochip.errors import UserError
from neurochip.readers.recording import RawImage, RawItem, ReadOptions
from neurochip.readers.source import Probe

KINDS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP", b"P5": "PPM", b"P6": "PPM"}
MAX_PIXELS = 2**24
MAX_FILE_BYTES = 2**28
GREY, COLOUR = ("1", "L"), ("P", "RGB")
USES: frozenset[str] = frozenset()


def matches(probe: Probe) -> bool:
    """Whether the file begins with the mark of one of the image formats."""
    kind = _kind(probe.head)
    if kind == "BMP":  # two letters are weak: the header must also give the file's size and a known header length
        sizes = int.from_bytes(probe.head[2:6], "little"), int.from_bytes(probe.head[14:18], "little")
        return sizes[0] in (0, probe.size) and sizes[1] in (12, 40, 52, 56, 64, 108, 124)
    return kind is not None and (kind != "PPM" or probe.head[2:3] in (b" ", b"\n", b"\t", b"\r"))


def open_items(path: Path, options: ReadOptions, remarks: list[str]) -> Iterator[RawItem]:
    """Yield one image, uint8 [height, width] if it is grey and [height, width, 3] if it is in colour."""
    with path.open("rb") as file:
        kind = _kind(file.read(8))
    if kind is None:
        raise UserError(f"is none of {', '.join(sorted(set(KINDS.values())))}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"takes {path.stat().st_size} bytes; allowed are at most {MAX_FILE_BYTES}")
    return iter([RawImage(_pixels(path, kind))])


def _kind(head: bytes) -> str | None:
    return next((kind for magic, kind in KINDS.items() if head.startswith(magic)), None)


def _pixels(path: Path, kind: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=[kind]) as image:
                width, height = image.size
                if width * height > MAX_PIXELS or min(width, height) < 1:
                    raise UserError(f"declares {width} x {height} pixels; allowed are 1 to {MAX_PIXELS}")
                if image.mode not in (*GREY, *COLOUR):
                    raise UserError(f"has pixels of kind {image.mode}; read are 8-bit grey and colour without alpha")
                if "transparency" in image.info:
                    raise UserError("has transparent pixels; read are images without alpha")
                return np.asarray(image.convert("L" if image.mode in GREY else "RGB"), np.uint8)
    except UserError:
        raise
    # A decoder may raise anything for damaged data.
    except Exception as error:
        raise UserError(f"damaged {kind} image ({str(error)[:200] or type(error).__name__})") from None
