"""What every table of the experiment file has in common.

The docstring under a key says what it is, and `unit` what a number counts: docs/experiment.md is made from them.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict


class Table(BaseModel):
    """A table of the experiment file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def unit(name: str) -> JsonDict:
    """What a number of a key counts, for the schema of the table."""
    return {"unit": name}


BITS, STEPS, SAMPLES, EPOCHS, SHARE = unit("bits"), unit("steps"), unit("samples"), unit("epochs"), unit("fraction")
EXPONENT, PIXELS = unit("power of two"), unit("pixels")
