"""Primitives of docs/semantics.md, section 2, on plain integers."""

from __future__ import annotations

import math

from neurochip.errors import UserError

Limits = tuple[int, int]

_MASK64 = (1 << 64) - 1
_MASK32 = (1 << 32) - 1


def signed_limits(bits: int) -> Limits:
    """Lowest and highest value of a signed format."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def unsigned_limits(bits: int) -> Limits:
    """Lowest and highest value of an unsigned format."""
    return 0, (1 << bits) - 1


def saturate(x: int, limits: Limits, counts: dict[str, int], field: str) -> int:
    """sat_F(x): clamp x to its format and count one saturation in `counts[field]` if it lay outside."""
    lowest, highest = limits
    if x < lowest:
        counts[field] += 1
        return lowest
    if x > highest:
        counts[field] += 1
        return highest
    return x


def round_shift(x: int, n: int, mode: str) -> int:
    """Shift x right by n >= 0 bits: "floor", or "nearest" with ties away from zero."""
    if n == 0:
        return x
    if mode == "floor":
        return x >> n
    if mode != "nearest":
        raise UserError(f'error.rounding is "{mode}"; allowed is "floor" or "nearest"')
    magnitude = (abs(x) + (1 << (n - 1))) >> n
    return -magnitude if x < 0 else magnitude


def leak(x: int, kind: str, value: int) -> int:
    """Leak towards zero: m - ((m + 2**k - 1) >> k) for "shift", (m * alpha) >> 16 for "constant", on m = |x|."""
    m = abs(x)
    if kind == "shift":
        m -= (m + (1 << value) - 1) >> value
    elif kind == "constant":
        m = (m * value) >> 16
    else:
        raise UserError(f'leak kind is "{kind}"; allowed is "shift" or "constant"')
    return -m if x < 0 else m


def surrogate(kind: str, x: float) -> float:
    """psi(x) in real arithmetic, x = u - theta."""
    if kind == "sigmoid":
        y = 1.0 / (1.0 + math.exp(-4.0 * x))
        return 4.0 * y * (1.0 - y)
    if kind == "triangle":
        return max(0.0, 1.0 - abs(x))
    if kind == "rectangle":
        return 1.0 if abs(x) <= 0.5 else 0.0
    raise UserError(f'learning.surrogate is "{kind}"; allowed is "sigmoid", "triangle" or "rectangle"')


def surrogate_table(kind: str, bits: int) -> list[int]:
    """64 codes, entry idx + 32 for idx = -32 ... 31: min(2**b - 1, floor(psi((idx + 1/2) / 16) * 2**b + 1/2))."""
    scale = 1 << bits
    return [min(scale - 1, math.floor(surrogate(kind, (idx + 0.5) / 16) * scale + 0.5)) for idx in range(-32, 32)]


def exponential_table() -> list[int]:
    """256 entries E[k] = floor(2**15 * exp(-k / 16) + 1/2)."""
    return [math.floor(2**15 * math.exp(-k / 16) + 0.5) for k in range(256)]


def split_mix(x: int) -> int:
    """h(x): one output of SplitMix64, modulo 2**64."""
    z = (x + 0x9E3779B97F4A7C15) & _MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
    return z ^ (z >> 31)


def initial_register(seed: int, layer: int, lane: int) -> int:
    """Start of one random register: low 32 bits of h(h(h(seed) + layer) + lane), or 1 if those are 0."""
    return (split_mix(split_mix(split_mix(seed) + layer) + lane) & _MASK32) or 1


def advance(x: int) -> int:
    """One step of xorshift32 (13, 17, 5)."""
    x ^= (x << 13) & _MASK32
    x ^= x >> 17
    x ^= (x << 5) & _MASK32
    return x
