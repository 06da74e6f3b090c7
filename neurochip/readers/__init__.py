"""Readers of recordings, images and sounds in the formats of the field; `docs/readers.md` lists them."""

from __future__ import annotations

from neurochip.readers.recording import RawImage, RawItem, RawRecording, RawSound, ReadOptions
from neurochip.readers.registry import FORMATS, Format, read, sniff

__all__ = ["FORMATS", "Format", "RawImage", "RawItem", "RawRecording", "RawSound", "ReadOptions", "read", "sniff"]
