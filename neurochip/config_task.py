"""The table `[task]` of an experiment: which recordings are learned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from neurochip.config_table import PIXELS, SHARE, STEPS, Table


class TaskTable(Table):
    """`[task]`: which recordings, and how they become steps of events."""

    name: str = "digits-dvs"
    """The task; `neurochip tasks` lists them."""
    path: str | None = None
    """The recordings: a file or folder, relative to the experiment file; omitted, where the task keeps its own."""
    steps: int = Field(default=20, ge=1, le=32_767, json_schema_extra=STEPS)
    """T, the steps of a sample."""
    repeat: Literal["once", "count"] = "once"
    """Whether an address with several events in a step counts once, or as many times (needs `event.bits` > 1)."""
    classes: list[int] | None = None
    """The labels to keep, in this order; omitted, all."""
    sensor_size: Annotated[list[int], Field(min_length=3, max_length=3)] | None = Field(
        default=None, json_schema_extra=PIXELS
    )
    """Width, height and polarities of the sensor, where the recordings do not say them."""
    crop: Annotated[list[Annotated[int, Field(ge=1, le=32_767)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, json_schema_extra=PIXELS
    )
    """Width and height of the middle of the sensor that is kept; omitted, all of it."""
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(default=None, json_schema_extra=SHARE)
    """The share of the training split that is held back for validation, 0.1 if omitted, unless the data has its own."""
    download: bool = False
    """Whether tonic may fetch recordings that are not there ([data sets](data-sets.md))."""
    transforms: list[dict[str, Any]] | None = None
    """Transforms of tonic, in order: tables of a `name`, its arguments, and the `splits` they are for."""
