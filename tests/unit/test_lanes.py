"""Is a vector of 16 lanes the same arithmetic as 16 columns one by one, and does it stay inside its array?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurochip
from neurochip.core.layout import ROUND_STOCHASTIC
from neurochip.rules.update.immediate import update_rows_any, update_rows_stochastic

STRIDE, N_ROWS, SHIFT = 48, 9, 11
PAST_THE_END = """
import sys
import numpy as np
from neurochip.core import lanes
from neurochip.core._jit import jit

@jit
def read(values, start):
    return lanes.count_different(lanes.load(values, start), lanes.splat(0))

values = np.ones(40, dtype=np.int32)
assert read(values, 24) == 16
read(values, int(sys.argv[1]))
"""


@pytest.mark.parametrize(("kind", "low", "high"), [(np.int8, -128, 127), (np.int8, -8, 7), (np.int16, -32768, 32767)])
def test_rows_updated_in_lanes_are_those_updated_column_by_column(kind: type, low: int, high: int) -> None:
    rng = np.random.default_rng(5)
    weights = rng.integers(low, high + 1, N_ROWS * STRIDE).astype(kind)
    rows, factors = np.array([0, 3, 8], dtype=np.int32), np.array([1, 77, 255], dtype=np.int32)
    signal = rng.integers(-2000, 2000, STRIDE).astype(np.int32)
    words = np.array([0, 32], dtype=np.int32)
    registers = rng.integers(1, 2**32, 16, dtype=np.uint32)
    expected, expected_registers = weights.copy(), registers.copy()
    expected_saturations = update_rows_any(
        expected, STRIDE, rows, factors, signal, words, STRIDE, SHIFT, ROUND_STOCHASTIC, low, high, expected_registers
    )
    saturations = update_rows_stochastic(weights, STRIDE, rows, factors, signal, words, SHIFT, low, high, registers)
    np.testing.assert_array_equal(weights, expected)
    np.testing.assert_array_equal(registers, expected_registers)
    assert saturations == expected_saturations > 0


@pytest.mark.parametrize("start", [25, -1])
def test_lanes_past_either_end_of_an_array_are_caught_by_index_checks(start: int, tmp_path: Path) -> None:
    script = tmp_path / "read_lanes.py"
    script.write_text(PAST_THE_END, encoding="utf-8")
    root = str(Path(neurochip.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "NEUROCHIP_BOUNDSCHECK": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(start)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode != 0
    assert "IndexError: 16 lanes reach past an end of the array" in done.stderr
