"""A filter bank as the ear has one: the energy of every band of a sound, sent as spikes when it changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurochip.encoding.delta import ChangeCode
from neurochip.encoding.encoded import Encoded
from neurochip.encoding.registry import parameter, register_encoder
from neurochip.errors import UserError
from neurochip.events import SensorSize

FULL_SCALE = 2.0**31
BLOCK_SAMPLES = 1 << 18
BLOCK_FRAMES = 1 << 10
MAX_FRAME_SAMPLES = 1 << 22
MAX_CELLS = 1 << 24
"""Frames x bands of a sound, and samples of a frame x bands."""
ORDER = 4
"""Order of the gammatone filters."""


@register_encoder("filter-bank", "sounds")
@dataclass(frozen=True)
class FilterBankEncoder(ChangeCode):
    """Band b of frame k has energy E and log energy L = round(1000 ln(1 + E / 10^(floor_db / 10))), sent on change.

    A frame is N = max(1, round(rate_hz frame_us / 10^6)) samples, its time floor(k N 10^6 / rate_hz); the last is
    filled with zeros. E is a mean square, full scale = 1. L becomes events by `encoding.delta`: `send_on_delta` or
    `level_crossings`, column = band (low to high), ON = louder. Events of one time are ordered by band.

    "gammatone": E = mean over the frame of Re(y)^2, y = 2 (1 - |a|)^4 / (1 - a z^-1)^4 x,
        a = exp(-2 pi 1.019 ERB(f) / rate_hz + 2 pi i f / rate_hz), ERB(f) = 24.7 (1 + 0.00437 f) Hz; the centres f lie
        evenly on 21.4 log10(1 + 0.00437 f) from low_hz to high_hz (Glasberg and Moore 1990; Hohmann 2002, section 2).
    "mel": E = sum over k of T(k) c |X(k)|^2 / (n sum w^2), X the transform of n = 2 N samples about the frame under a
        Hann window w, c = 2 (1 at 0 and n / 2), T triangles whose corners lie evenly on 2595 log10(1 + f / 700) from
        low_hz to high_hz (Davis and Mermelstein 1980; O'Shaughnessy 1987).

    The energies are floating point: another machine may round one L in many thousands to its neighbour.
    """

    bank: str = parameter("gammatone", ("gammatone", "mel"), "shape of the filters")
    bands: int = parameter(32, (1, 1024), "number of bands")
    low_hz: float = parameter(100.0, (1.0, 1e6), "lowest frequency")
    high_hz: float = parameter(3800.0, (1.0, 1e6), "highest frequency")
    frame_us: int = parameter(5_000, (100, 10_000_000), "microseconds of a frame")
    floor_db: float = parameter(-60.0, (-200.0, 0.0), "energy below which bands count as silent")
    threshold: int = parameter(500, (1, 1_000_000), "thousandths of the natural logarithm that make an event")

    @property
    def sensor(self) -> SensorSize:
        """Bands, OFF and ON."""
        return self.bands, 1, 2

    def encode(self, samples: NDArray[np.int32], rate_hz: int) -> Encoded:
        """The events of a sound.

        Raises:
            UserError: frequencies that the sound cannot have, or that are in the wrong order, or a sound of too many
                frames and bands.
        """
        if not self.low_hz < self.high_hz <= rate_hz / 2:
            raise UserError(
                f"--set low_hz={self.low_hz:g} and high_hz={self.high_hz:g} do not fit a sound of {rate_hz} samples "
                f"per second; allowed is low_hz < high_hz <= {rate_hz / 2:g}"
            )
        frame = max(1, round(rate_hz * self.frame_us / 1_000_000))
        self._check_size(frame, -(-len(samples) // frame))
        energies = self._gammatone if self.bank == "gammatone" else self._mel
        floor = 10 ** (self.floor_db / 10)
        levels = np.rint(1000 * np.log1p(energies(samples, rate_hz, frame) / floor)).astype(np.int64)
        times = np.arange(len(levels)) * frame * 1_000_000 // rate_hz
        return self.changes(levels, times, self.threshold)

    def _check_size(self, frame: int, n_frames: int) -> None:
        """Refuse what would not fit into memory, before any is taken."""
        most = min(MAX_FRAME_SAMPLES, MAX_CELLS // self.bands) if self.bank == "mel" else MAX_FRAME_SAMPLES
        if frame > most:
            raise UserError(
                f"--set frame_us={self.frame_us} makes frames of {frame} samples; allowed are at most {most} with "
                f"{self.bands} bands of {self.bank} filters"
            )
        if n_frames * self.bands > MAX_CELLS:
            raise UserError(
                f"--set frame_us={self.frame_us} makes {n_frames} frames of this sound; allowed are at most "
                f"{MAX_CELLS // self.bands} with {self.bands} bands: longer frames, fewer bands or a shorter sound help"
            )

    def centres_hz(self) -> NDArray[np.float64]:
        """Centre frequency of every gammatone filter."""
        low, high = (21.4 * math.log10(1 + 0.00437 * f) for f in (self.low_hz, self.high_hz))
        centres: NDArray[np.float64] = (10 ** (np.linspace(low, high, self.bands) / 21.4) - 1) / 0.00437
        return centres

    def _gammatone(self, samples: NDArray[np.int32], rate_hz: int, frame: int) -> NDArray[np.float64]:
        """Energies [frames, bands]."""
        n_frames = -(-len(samples) // frame)
        energies = np.zeros((n_frames, self.bands))
        block_frames = max(1, BLOCK_SAMPLES // frame)
        for band, centre in enumerate(self.centres_hz()):
            decay = math.exp(-2 * math.pi * 1.019 * 24.7 * (1 + 0.00437 * centre) / rate_hz)
            pole = decay * np.exp(2j * math.pi * centre / rate_hz)
            states: list[Any] = [np.zeros(1, np.complex128)] * ORDER
            for first in range(0, n_frames, block_frames):
                part = _padded(samples, first * frame, min(first + block_frames, n_frames) * frame)
                filtered, states = _cascade(part, pole, states)
                power = (2 * (1 - decay) ** ORDER * filtered.real) ** 2
                energies[first : first + block_frames, band] = power.reshape(-1, frame).mean(axis=1)
        return energies

    def _mel(self, samples: NDArray[np.int32], rate_hz: int, frame: int) -> NDArray[np.float64]:
        """Energies [frames, bands]."""
        from scipy.signal import get_window

        size = 2 * frame
        window = get_window("hann", size)
        share = np.full(size // 2 + 1, 2.0)
        share[[0, -1]] = 1
        triangles = self._triangles(np.arange(size // 2 + 1) * rate_hz / size)
        n_frames = -(-len(samples) // frame)
        energies = np.zeros((n_frames, self.bands))
        block_frames = max(1, min(BLOCK_FRAMES, MAX_FRAME_SAMPLES // size))
        for first in range(0, n_frames, block_frames):
            last = min(first + block_frames, n_frames)
            start = first * frame - frame // 2
            part = _padded(samples, start, start + (last - first - 1) * frame + size)
            frames = np.lib.stride_tricks.sliding_window_view(part, size)[::frame]
            spectrum = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
            energies[first:last] = (spectrum * share) @ triangles.T / (size * (window**2).sum())
        return energies

    def _triangles(self, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights [bands, frequencies]."""
        low, high = (2595 * math.log10(1 + f / 700) for f in (self.low_hz, self.high_hz))
        corners = 700 * (10 ** (np.linspace(low, high, self.bands + 2) / 2595) - 1)
        left, centre, right = (corners[shift : shift + self.bands, None] for shift in range(3))
        rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
        weights: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling))
        return weights


def _padded(samples: NDArray[np.int32], start: int, end: int) -> NDArray[np.float64]:
    """Samples `start` to `end - 1`, full scale 1, zero outside the sound."""
    part = np.zeros(end - start)
    inside = samples[max(start, 0) : max(min(end, len(samples)), 0)]
    at = max(-start, 0)
    part[at : at + len(inside)] = inside / FULL_SCALE
    return part


def _cascade(part: NDArray[np.float64], pole: complex, states: list[Any]) -> tuple[NDArray[Any], list[Any]]:
    """The output of ORDER one-pole filters in a row, and what they remember."""
    from scipy.signal import lfilter

    values: NDArray[Any] = part.astype(np.complex128)
    after = []
    for state in states:
        values, end = lfilter([1.0], [1.0, -pole], values, zi=state)
        after.append(end)
    return values, after
