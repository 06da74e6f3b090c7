"""Does the C header hold what the run learned, read by hand and by a C compiler?"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_runs import CASES, finished_runs
from numpy.typing import NDArray

from neurochip.export import export_files, load_learned
from neurochip.export.arrays import arrays_of
from neurochip.export.document import document_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Finished runs by network."""
    return finished_runs(tmp_path_factory.getbasetemp())


def parsed_header(text: str) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
    """Macros that are numbers, and arrays by name, read out of the header by hand."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    macros: dict[str, int] = {}
    for name, value in re.findall(r"#define (\w+) (\S+)", text):
        assert name not in macros
        macros[name] = macros[value] if value in macros else int(value.strip("()").rstrip("UL"))
    arrays = {}
    for kind, name, shape, body in re.findall(
        r"static const (\w+)_t (\w+)((?:\[\d+\])+) = \{(.*?)\};", text, re.DOTALL
    ):
        numbers = [int(n) for n in re.findall(r"-?\d+", body)]
        sizes = [int(n) for n in re.findall(r"\d+", shape)]
        arrays[name.removeprefix("neurochip_")] = np.array(numbers, dtype=kind).reshape(sizes)
    return macros, arrays


@pytest.mark.parametrize(("network", "rule"), CASES)
def test_the_header_holds_the_arrays_and_every_number_of_the_document(
    network: str, rule: str, runs: Mapping[str, Path], tmp_path: Path
) -> None:
    learned = load_learned(runs[network], rule)
    (path,) = export_files(learned, "c", tmp_path / "out")
    macros, arrays = parsed_header(path.read_text(encoding="ascii"))
    expected = arrays_of(learned)
    assert list(arrays) == list(expected)
    for name, values in expected.items():
        assert arrays[name].dtype == values.dtype
        assert np.array_equal(arrays[name], values)
    document = document_of(learned)
    for index, layer in enumerate(document["layers"]):
        for name in (
            "threshold_q",
            "leak_value",
            "frac_weight",
            "n_in",
            "n_out",
            "columns",
            "n_weight_rows",
            "n_bias_rows",
        ):
            assert macros[f"NEUROCHIP_L{index}_{name.upper()}"] == layer[name]
        for leak in ("leak", "trace_leak", "filter_leak", "current_leak"):
            named = macros[f"NEUROCHIP_LEAK_{layer[f'{leak}_kind'].upper()}"]
            assert macros[f"NEUROCHIP_L{index}_{leak.upper()}_KIND"] == named
            assert macros[f"NEUROCHIP_L{index}_{leak.upper()}_VALUE"] == layer[f"{leak}_value"]
        for signal, fmt in layer["formats"].items():
            for name, value in fmt.items():
                assert macros[f"NEUROCHIP_L{index}_FORMATS_{signal.upper()}_{name.upper()}"] == value
        for name, value in layer["shifts"].items():
            if isinstance(value, int):
                assert macros[f"NEUROCHIP_L{index}_SHIFTS_{name.upper()}"] == value
        kind = macros[f"NEUROCHIP_KIND_{layer['kind'].upper()}"]
        assert macros[f"NEUROCHIP_L{index}_KIND"] == kind
        assert macros[f"NEUROCHIP_L{index}_N_INPUTS"] == len(layer["inputs"])
        for number, connection in enumerate(layer["inputs"]):
            for name, value in connection.items():
                assert macros[f"NEUROCHIP_L{index}_INPUTS_{number}_{name.upper()}"] == value
    for name in ("rate_multiplier", "rate_shift", "n_steps", "weight_bits", "rng_lanes"):
        assert macros[f"NEUROCHIP_{name.upper()}"] == document["core"][name]


def c_program(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A program that prints every array, one number a line."""
    loops = []
    for name, values in arrays.items():
        first = f"neurochip_{name}" + "[0]" * (values.ndim - 1)
        loops.append(f"    for (unsigned i = 0; i < {values.size}u; i++) "
                     f'printf("%lld\\n", (long long)(&{first}[0])[i]);')  # fmt: skip
    return '#include "network.h"\n#include <stdio.h>\nint main(void) {\n' + "\n".join(loops) + "\n    return 0;\n}\n"


@pytest.mark.parametrize(
    ("network", "rule"), [("dense", "bptt"), ("dense", "e-prop"), ("conv", "ottt-local"), ("current", "ottt-o")]
)
def test_a_c_program_with_the_header_compiles_without_warnings_and_prints_the_arrays(
    network: str, rule: str, runs: Mapping[str, Path], tmp_path: Path
) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler `cc`")
    learned = load_learned(runs[network], rule)
    learned = replace(learned, name='a "name" */ with /* ?? \\ and\n a new line', classes=("ü", "*/"))
    export_files(learned, "c", tmp_path / "out")
    arrays = arrays_of(learned)
    (tmp_path / "empty.c").write_text('#include "network.h"\n#include "network.h"\nint main(void) { return 0; }\n')
    (tmp_path / "print.c").write_text(c_program(arrays))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", str(tmp_path / "out")]
    for name in ("empty", "print"):
        command = [compiler, *flags, str(tmp_path / f"{name}.c"), "-o", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    printed = subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout.split()
    assert [int(number) for number in printed] == [int(n) for values in arrays.values() for n in values.ravel()]


def test_the_widest_numbers_of_c_survive(runs: Mapping[str, Path], tmp_path: Path) -> None:
    learned = load_learned(runs["dense"], "bptt")
    registers = np.full_like(learned.registers, 2**32 - 1)
    velocities = tuple(np.full_like(layer, -(2**31)) for layer in learned.velocities)
    spec = replace(learned.spec, gradient_bits=32, seed=2**64 - 1)
    wide = replace(learned, spec=spec, registers=registers, velocities=velocities)
    (path,) = export_files(wide, "c", tmp_path / "out")
    macros, arrays = parsed_header(path.read_text(encoding="ascii"))
    assert macros["NEUROCHIP_SEED"] == 2**64 - 1
    assert np.all(arrays["random_registers"] == 2**32 - 1)
    assert np.all(arrays["velocity_0"] == -(2**31))
    compiler = shutil.which("cc")
    if compiler is not None:
        flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-include", str(path)]
        (tmp_path / "use.c").write_text("unsigned long long seed(void);\n"
                                        "unsigned long long seed(void) { return NEUROCHIP_SEED; }\n")  # fmt: skip
        subprocess.run([compiler, *flags, str(tmp_path / "use.c")], check=True)
