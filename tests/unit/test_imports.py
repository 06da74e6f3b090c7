"""The structure of the source: the layers stay apart, start-up stays light, files stay short.

The rules are read off the source by `ast`; the last tests start an interpreter and look.
"""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import neurochip

PACKAGE = Path(neurochip.__file__).resolve().parent
TESTS = Path(__file__).resolve().parent.parent
FOLDERS = [folder for folder in (PACKAGE, TESTS, TESTS.parent / "scripts") if folder.is_dir()]
MAX_LINES = 350

NEVER_IMPORTS = {
    "neurochip.core": {"neurochip.cost", "neurochip.chip"},
    "neurochip.cost": {"neurochip.core", "neurochip.rules"},
    "neurochip.microarch": {"neurochip.core"},
    "neurochip.reference": {
        "neurochip.core",
        "neurochip.cost",
        "neurochip.microarch",
        "neurochip.rules",
        "numba",
    },
    "neurochip.report": {"neurochip.core", "neurochip.rules"},
    "neurochip.rules": {"neurochip.cost", "neurochip.chip"},
    "neurochip.silicon": {"neurochip.core", "neurochip.reference", "neurochip.rules"},
}
ONLY_IN = {"tonic": {"neurochip.tasks"}, "torch": set[str](), "spikingjelly": set[str]()}
HEAVY = {
    "dask",
    "h5py",
    "jinja2",
    "matplotlib",
    "nir",
    "numba",
    "optuna",
    "pandas",
    "scipy",
    "sklearn",
    "tonic",
    "xarray",
}
LOADED_AT_START = {"neurochip", "neurochip.__main__", "neurochip.cli"}


@dataclass(frozen=True)
class Import:
    """One imported name: the module that imports, the module imported, and when that happens."""

    importer: str
    target: str
    line: int
    at_top: bool  # runs when the importer is imported, not later in a function
    typing_only: bool


def modules_of(package: Path) -> dict[str, Path]:
    """Map the dotted name of every module of a package to its file."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _is_typing_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _targets(node: ast.AST, importer: str, is_package: bool, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules one statement imports; `import_module("literal")` counts as an import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = importer.split(".")
        if node.level:
            kept = parts[: len(parts) - node.level + is_package]
            base = ".".join([*kept, *([node.module] if node.module else [])])
        else:
            base = node.module or ""
        for alias in node.names:
            full = f"{base}.{alias.name}"
            yield full if full in modules else base
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
        yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def imports_of(package: Path) -> list[Import]:
    """Return every import in a package's source."""
    modules = modules_of(package)
    found: list[Import] = []

    def walk(node: ast.AST, module: str, is_package: bool, at_top: bool, typing_only: bool) -> None:
        for target in _targets(node, module, is_package, modules):
            found.append(Import(module, target, getattr(node, "lineno", 0), at_top, typing_only))
        guarded = node.body if isinstance(node, ast.If) and _is_typing_guard(node) else []
        inner_top = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            walk(child, module, is_package, inner_top, typing_only or child in guarded)

    for module, path in modules.items():
        walk(ast.parse(path.read_text(encoding="utf-8"), str(path)), module, path.name == "__init__.py", True, False)
    return found


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def _parents(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def reachable(start: str, edges: list[Import]) -> dict[str, list[str]]:
    """Map every module that importing `start` may load over `edges` to the chain that leads there."""
    chains = {start: [start]}
    todo = [start]
    while todo:
        module = todo.pop()
        for target in {t for e in edges if e.importer == module for t in {e.target, *_parents(e.target)}}:
            if target not in chains:
                chains[target] = [*chains[module], target]
                todo.append(target)
    return chains


def layer_violations(imports: list[Import]) -> list[str]:
    """Return each direct or indirect import that crosses a layer border, as one line."""
    root = imports[0].importer.split(".")[0] if imports else ""
    lines = [
        f"{e.importer}:{e.line} imports {e.target}"
        for e in imports
        for layer, forbidden in NEVER_IMPORTS.items()
        if inside(e.importer, layer) and any(inside(e.target, name) for name in forbidden)
    ]
    # The package's own __init__ stands above all layers: what it loads later, on request, is no import of theirs.
    edges = [e for e in imports if not e.typing_only and (e.at_top or e.importer != root)]
    for layer, forbidden in NEVER_IMPORTS.items():
        for module in sorted({e.importer for e in edges if inside(e.importer, layer)}):
            for target, chain in sorted(reachable(module, edges).items()):
                if len(chain) > 2 and any(inside(target, name) for name in forbidden):
                    lines.append(f"{' -> '.join(chain)}")
    return lines


def confined_violations(imports: list[Import]) -> list[str]:
    """Return each import of a library outside the packages that may use it."""
    return [
        f"{e.importer}:{e.line} imports {e.target}"
        for e in imports
        for library, homes in ONLY_IN.items()
        if inside(e.target, library) and not any(inside(e.importer, home) for home in homes)
    ]


def startup_violations(imports: list[Import]) -> list[str]:
    """Return each chain of top-level imports from the start-up modules to a heavy library."""
    edges = [e for e in imports if e.at_top and not e.typing_only]
    lines = []
    for start in sorted(LOADED_AT_START):
        for target, chain in sorted(reachable(start, edges).items()):
            if target in HEAVY:
                lines.append(" -> ".join(chain))
    return lines


def test_layers_do_not_import_across_their_borders() -> None:
    assert layer_violations(imports_of(PACKAGE)) == []


def test_libraries_stay_in_the_packages_that_may_use_them() -> None:
    assert confined_violations(imports_of(PACKAGE)) == []


def test_nothing_loaded_at_start_imports_a_heavy_library_at_its_top() -> None:
    assert startup_violations(imports_of(PACKAGE)) == []


def test_every_module_the_rules_name_exists() -> None:
    named = {*NEVER_IMPORTS, *LOADED_AT_START, *(home for homes in ONLY_IN.values() for home in homes)}
    named |= {name for names in NEVER_IMPORTS.values() for name in names if inside(name, "neurochip")}
    assert named - set(modules_of(PACKAGE)) == set()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_python_file_is_longer_than_350_lines(folder: Path) -> None:
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def lacks_annotations(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    return function.returns is None or any(argument.annotation is None for argument in named)


@pytest.mark.parametrize("layer", ["core", "rules"])
def test_functions_that_are_no_kernels_have_type_annotations(layer: str) -> None:
    bare, kernels = [], 0
    for path in (PACKAGE / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef):
                is_kernel = any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
                kernels += is_kernel
                if not is_kernel and lacks_annotations(node):
                    bare.append(f"{path.name}:{node.lineno} {node.name}")
    assert kernels
    assert bare == []


WritePackage = Callable[[dict[str, str]], list[Import]]
Check = Callable[[list[Import]], list[str]]


@pytest.fixture
def write_package(tmp_path: Path) -> WritePackage:
    """A package `neurochip` made of the given sources, for breaking each rule once."""

    def write(sources: dict[str, str]) -> list[Import]:
        package = tmp_path / "neurochip"
        for name, source in sources.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        return imports_of(package)

    return write


@pytest.mark.parametrize(
    ("check", "sources"),
    [
        (layer_violations, {"cost/energy.py": "from neurochip.core import engine"}),
        (layer_violations, {"cost/energy.py": "def f():\n    import neurochip.rules.presets"}),
        (layer_violations, {"microarch/ottt_core.py": "from ..core.engine import run"}),
        (layer_violations, {"core/__init__.py": "from .. import chip", "chip.py": ""}),
        (layer_violations, {"reference/core/run.py": "import numba as nb"}),
        (layer_violations, {"report/html.py": "import importlib\nimportlib.import_module('neurochip.rules')"}),
        (layer_violations, {"cost/a.py": "from neurochip import middle", "middle.py": "import neurochip.core.engine"}),
        (
            layer_violations,
            {"rules/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import neurochip.chip"},
        ),
        (confined_violations, {"encoding/a.py": "def f():\n    from tonic.io import read_mnist_file"}),
        (confined_violations, {"rules/a.py": "import torch.nn"}),
        (startup_violations, {"__init__.py": "from neurochip import events", "events.py": "import h5py"}),
        (startup_violations, {"cli/__init__.py": "import neurochip.a.b", "a/__init__.py": "from scipy import stats"}),
        (
            startup_violations,
            {"cli/__init__.py": "from .learn import go", "cli/learn.py": "try:\n    import numba.core\nfinally: 0"},
        ),
    ],
)
def test_a_broken_rule_is_seen(check: Check, sources: dict[str, str], write_package: WritePackage) -> None:
    assert len(check(write_package(sources))) >= 1


@pytest.mark.parametrize(
    ("check", "sources"),
    [
        (layer_violations, {"reference/core/run.py": "from neurochip.reference.core import state"}),
        (
            layer_violations,
            {"core/__init__.py": "import numba\nfrom neurochip.chips_list import x", "chips_list.py": ""},
        ),
        (
            layer_violations,
            {
                "__init__.py": "def learn():\n    from neurochip.core import run",
                "cost/a.py": "from neurochip import learn",
            },
        ),
        (confined_violations, {"tasks/a.py": "import tonic"}),
        (startup_violations, {"cli/__init__.py": "def f():\n    import numba", "core/__init__.py": "import numba"}),
        (startup_violations, {"__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import h5py"}),
    ],
)
def test_what_is_allowed_is_not_reported(check: Check, sources: dict[str, str], write_package: WritePackage) -> None:
    assert check(write_package(sources)) == []


HELP = """
import json, sys
from neurochip.cli import main
sys.argv = ["neurochip", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with the same neurochip on its path and fail with its error text."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_help_loads_no_heavy_library() -> None:
    lines = run_python("-c", HELP).stdout.splitlines()
    loaded = set(json.loads(lines[-1]))
    assert "neurochip" in loaded
    assert loaded & HEAVY == set()


def seconds(*arguments: str) -> float:
    start = time.perf_counter()
    run_python(*arguments)
    return time.perf_counter() - start


@pytest.mark.bench
def test_help_takes_at_most_25_times_an_empty_interpreter() -> None:
    run_python("-m", "neurochip", "--help")  # byte-compiles once
    # Taken in turns, so that other work on the machine slows both alike.
    pairs = [(seconds("-m", "neurochip", "--help"), seconds("-c", "pass")) for _ in range(7)]
    help_seconds, empty_seconds = (statistics.median(times) for times in zip(*pairs, strict=True))
    assert help_seconds <= 25 * empty_seconds
