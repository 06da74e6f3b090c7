"""Do the kernels stay inside their arrays? They run with index checks, NEUROCHIP_BOUNDSCHECK=1, in their own process.

Without the checks a kernel that reads past an array reads memory silently.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurochip

CASES = """
import sys
sys.path.insert(0, sys.argv[1])
import conftest  # makes the helpers importable
from property_comparison import compare
from property_network_cases import fixed_network_case
from property_strategies import RULES, fixed_case

from neurochip.core._jit import BOUNDSCHECK
from neurochip.core.pass_kernel import run_pass

assert BOUNDSCHECK and run_pass.targetoptions["boundscheck"]
for rule in RULES:
    for seed in range(12):
        case = fixed_case(seed, rule)
        differences = compare(case)
        assert not differences, (rule, seed, differences)
        print(rule, case.spec.weight_bits)
for seed in range(200):
    case = fixed_network_case(seed)
    differences = compare(case)
    assert not differences, (seed, differences)
    print("network", case.spec.weight_bits)
"""
PAST_THE_END = """
import numpy as np
from neurochip.core.neuron import fire

fire(np.zeros(2, dtype=np.int32), 3, np.int32(1), 0, np.zeros(4, dtype=np.int32))
"""


def run_checked(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with index checks and with the same neurochip on its path."""
    root = str(Path(neurochip.__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "NEUROCHIP_BOUNDSCHECK": "1"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_drawn_cases_of_every_rule_and_drawn_networks_are_equal_with_index_checks() -> None:
    done = run_checked("-c", CASES, str(Path(__file__).resolve().parent))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in lines].count("network") == 200
    assert len(lines) == 7 * 12 + 200
    assert {int(bits) <= 8 for name, bits in lines if name == "network"} == {True, False}  # both weight types


@pytest.mark.slow
def test_kernels_of_convolutions_stay_inside_arrays_of_just_their_size() -> None:
    tests = Path(__file__).resolve().parent.parent / "unit"
    names = [str(tests / f"test_convolution{part}.py") for part in ("", "_lanes")]
    done = run_checked("-m", "pytest", "-q", "-p", "no:cacheprovider", *names)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passed" in done.stdout


def test_an_index_past_the_end_is_caught_by_them() -> None:
    done = run_checked("-c", PAST_THE_END)
    assert done.returncode != 0
    assert "IndexError" in done.stderr
