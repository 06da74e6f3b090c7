"""A network given by its name, by its sizes, "512-128-10", by a network file, an experiment file or a NIR graph."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurochip.config import Experiment, load_experiment
from neurochip.errors import UserError
from neurochip.network.shape import layer_shapes

NETWORK_KEYS = ("summary", "inputs", "input_shape", "classes", "layers")
NIR_SUFFIX, HDF5_SIGNATURE = ".nir", b"\x89HDF\r\n\x1a\n"
NETWORKS = Path(__file__).parent / "networks"
KEYS_OF_OPTIONS = ("run.rules", "task.steps", "chip.name")  # which --rules, --steps and --chip give, not only --set


@dataclass(frozen=True)
class NamedNetwork:
    """An experiment and the sizes that are no part of it; None where its task has to be loaded to know them."""

    experiment: Experiment
    n_inputs: int | None
    n_classes: int | None
    source: str
    base_dir: Path


@dataclass(frozen=True)
class NetworkInfo:
    """A network that comes with neurochip.

    Attributes:
        inputs: "3x32x32", or the number of a list.
        n_parameters: weights and biases.
        n_neurons: of the hidden layers.
    """

    name: str
    summary: str
    inputs: str
    n_classes: int
    n_parameters: int
    n_neurons: int


def list_networks() -> list[NetworkInfo]:
    """Return every network that comes with neurochip, sorted by name."""
    return [_info(path) for path in sorted(NETWORKS.glob("*.toml"))]


def named_network(text: str, overrides: Sequence[str], source: str | None = None) -> NamedNetwork:
    """Read a name, sizes, a NIR graph (an HDF5 file) or a TOML file, and apply KEY=VALUE overrides to the experiment.

    Sizes are inputs, hidden layers and classes: dense layers with default settings and the readout. A network file has
    the keys `inputs` or `input_shape` (channels, height, width), `classes`, and `layers` as in `[network]` (the readout
    included). Any other TOML file is an experiment file. `source` names it in error messages instead of what was given.

    Raises:
        UserError: naming what was given, and what is allowed.
    """
    if re.fullmatch(r"\d+(-\d+)+", text):
        sizes = [int(size) for size in text.split("-")]
        if 0 in sizes:
            raise UserError(f"--network {text}: a size is 0; allowed are sizes from 1")
        dense: list[dict[str, Any]] = [{"kind": "dense", "neurons": size} for size in sizes[1:-1]]
        network: dict[str, Any] = {"layers": [*dense, {"kind": "readout"}]}
        return _from_tables(network, (sizes[0], sizes[-1]), overrides, (f"--network {text}", source), Path())
    path = _path(text, "sizes such as 512-128-10")
    if _is_graph(path):
        return _from_graph(path, overrides, source)
    tables = _read(path)
    if "layers" not in tables:
        source = source or _source(str(path), overrides)
        experiment = load_experiment(path, overrides, source=source)
        return NamedNetwork(experiment, None, None, source, path.parent)
    ends = _ends(path, tables)
    network = {key: tables[key] for key in ("layers", "input_shape") if key in tables}
    given = f"--network {text}" if path.parent == NETWORKS else str(path)
    return _from_tables(network, ends, overrides, (given, source), path.parent)


def network_table(text: str) -> dict[str, Any]:
    """The keys of `[network]` that a name or a network file stands for; inputs and classes are those of a task.

    Raises:
        UserError: naming what was given, and what is allowed.
    """
    path = _path(text, "network files")
    if _is_graph(path):
        return {"nir": {"file": str(path.resolve())}}
    tables = _read(path)
    if "layers" not in tables:
        raise UserError(f"--network {text}: has no key layers; allowed are network files (an experiment stands alone)")
    _ends(path, tables)
    return {"layers": tables["layers"]}


def _path(text: str, also: str) -> Path:
    path = Path(text)
    named = NETWORKS / f"{text}.toml"
    if path.suffix != ".toml" and Path(text).name == text and named.is_file():
        return named
    is_file = path.suffix in (".toml", NIR_SUFFIX)
    if path.is_file() and (is_file or _is_graph(path)):
        return path
    what = "no such file" if is_file else "neither sizes nor a TOML or NIR file, nor a name"
    names = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.toml")))
    raise UserError(f"--network {text}: {what}; allowed are {also}, .toml files, NIR graphs and {names}")


def _is_graph(path: Path) -> bool:
    """Whether a file is a NIR graph: an HDF5 file by its first bytes; a .nir file is meant to be one in any case."""
    if path.suffix == NIR_SUFFIX:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError:
        return False


def _from_graph(path: Path, overrides: Sequence[str], source: str | None) -> NamedNetwork:
    """The network of a NIR graph; its inputs and classes are those of the graph."""
    from neurochip.network.nir_experiment import with_nir

    source = source or _source(str(path), overrides)
    tables = {"network": {"nir": {"file": str(path.resolve())}}}
    experiment, imported = with_nir(load_experiment(None, overrides, tables=tables, source=source), Path())
    if imported is None:
        raise UserError(f"--network {path}: the overrides leave no network.nir; allowed is a graph")
    return NamedNetwork(experiment, imported.n_inputs, imported.n_outputs, source, path.parent)


def _from_tables(
    network: Mapping[str, Any],
    ends: tuple[int, int],
    overrides: Sequence[str],
    sources: tuple[str, str | None],
    base_dir: Path,
) -> NamedNetwork:
    """`sources`: what was given, and the name to use instead of it in error messages."""
    given, named = sources
    source = named or _source(given, overrides)
    experiment = load_experiment(None, overrides, tables={"network": dict(network)}, source=source)
    return NamedNetwork(experiment, *ends, named or given, base_dir)


def _source(given: str, overrides: Sequence[str]) -> str:
    """What error messages name: "with --set" only where a key was given that no other option gives."""
    keys = {text.partition("=")[0].strip() for text in overrides}
    return f"{given} with --set" if keys.difference(KEYS_OF_OPTIONS) else given


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: cannot be read as TOML ({error})") from error


def _ends(path: Path, tables: Mapping[str, Any]) -> tuple[int, int]:
    """Inputs and classes of a network file."""
    for key in tables:
        if key not in NETWORK_KEYS:
            raise UserError(f"{path}: {key} is an unknown key; a network file has {', '.join(NETWORK_KEYS)}")
    classes = _size(path, tables, "classes")
    if "input_shape" not in tables:
        return _size(path, tables, "inputs"), classes
    shape = tables["input_shape"]
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(size) is int and size >= 1 for size in shape):
        raise UserError(f"{path}: input_shape is {shape!r}; it needs [channels, height, width], each from 1")
    n_inputs = math.prod(shape)
    if tables.get("inputs", n_inputs) != n_inputs:
        raise UserError(f"{path}: inputs is {tables['inputs']!r}; its input_shape has {n_inputs}")
    return n_inputs, classes


def _size(path: Path, tables: Mapping[str, Any], key: str) -> int:
    value = tables.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{path}: {key} is {value!r}; a network file needs a whole number from 1")
    return value


def _info(path: Path) -> NetworkInfo:
    network = named_network(path.stem, ())
    ends = (network.n_inputs or 0, network.n_classes or 0)
    shapes = layer_shapes(network.experiment, *ends)
    input_shape = network.experiment.network.input_shape
    return NetworkInfo(
        name=path.stem,
        summary=str(_read(path).get("summary", "")),
        inputs="x".join(map(str, input_shape)) if input_shape else str(ends[0]),
        n_classes=ends[1],
        n_parameters=sum(shape.n_weights for shape in shapes),
        n_neurons=sum(shape.n_out for shape in shapes if shape.is_hidden),
    )
