"""What a run learned, for a chip or a test bench: integers with their formats as .npz, C header or $readmemh images."""

from __future__ import annotations

from neurochip.export.document import spec_of
from neurochip.export.formats import FORMATS, export_files
from neurochip.export.load import Learned, load_learned
from neurochip.export.npz import read_npz

__all__ = ["FORMATS", "Learned", "export_files", "load_learned", "read_npz", "spec_of"]
