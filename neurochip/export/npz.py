"""A network as one .npz: the arrays, and their formats as JSON text in `document`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from neurochip.errors import UserError
from neurochip.export.arrays import arrays_of
from neurochip.export.document import Document, document_of
from neurochip.export.load import Integers, Learned

DOCUMENT = "document"
FILE = "network.npz"


def npz_files(learned: Learned) -> dict[str, bytes]:
    """The file `network.npz`; the same network gives the same bytes."""
    text = json.dumps(document_of(learned), ensure_ascii=False, allow_nan=False)
    arrays: dict[str, Any] = {**arrays_of(learned), DOCUMENT: np.array(text)}
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **arrays)
    return {FILE: written.getvalue()}


def read_npz(path: str | Path) -> tuple[Document, dict[str, Integers]]:
    """Read an exported .npz: (document, arrays by name).

    Raises:
        UserError: no such file, or one that is no export.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
        document: Document = json.loads(str(arrays.pop(DOCUMENT)[()]))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: is no .npz that `neurochip export` wrote ({error})") from error
    return document, arrays


__all__ = ["FILE", "npz_files", "read_npz"]
