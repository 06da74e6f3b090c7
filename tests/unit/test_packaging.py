"""The distribution holds what the tree holds, and works where there is no tree.

One source distribution and one wheel are built from a clean export; the wheel is installed into a fresh virtual
environment that borrows this one's dependencies, so that nothing is downloaded.
"""

from __future__ import annotations

import configparser
import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

DATA_FOLDERS = ("datasets", "hw_models")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the source tree's influence and return its standard output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment |= {"COLUMNS": "200", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def tree_files(source_tree: Path) -> set[str]:
    """Every file of the repository that git knows or would take, as paths with slashes."""
    if not (source_tree / ".git").exists() or shutil.which("git") is None:
        pytest.skip("the source tree is no git checkout, so its files cannot be told from leftovers")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=source_tree)
    return {name for name in listed.split("\0") if name and (source_tree / name).is_file()}


@pytest.fixture(scope="module")
def setup_cfg(source_tree: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(source_tree / "setup.cfg", encoding="utf-8")
    return parser


@pytest.fixture(scope="module")
def distributions(source_tree: Path, tree_files: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution of a clean export and the wheel built from that distribution."""
    export = tmp_path_factory.mktemp("export")
    for name in tree_files:
        (export / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source_tree / name, export / name)
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, export, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("neurochip-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh virtual environment that holds the wheel and sees this one's dependencies."""
    environment = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=environment)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / Path(sys.executable).name
    install = ["install", "--no-deps", "--no-index", "--quiet", wheel]
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=environment)
    # Written after the installation, so that pip never touches the packages of the other environment.
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=environment).strip())
    borrowed = dict.fromkeys(sysconfig.get_path(key) for key in ("purelib", "platlib"))
    (purelib / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return python


def test_setup_cfg_lists_exactly_the_packages_of_the_tree(
    tree_files: set[str], setup_cfg: configparser.ConfigParser
) -> None:
    listed = setup_cfg["options"]["packages"].split()
    folders = {Path(name).parent for name in tree_files if name.startswith("neurochip/") and name.endswith(".py")}
    expected = {".".join(folder.parts) for folder in folders} | {f"neurochip.{name}" for name in DATA_FOLDERS}
    assert set(listed) == expected
    assert listed == sorted(set(listed))


def test_every_package_folder_has_an_init_file(tree_files: set[str]) -> None:
    folders = {Path(name).parent for name in tree_files if name.startswith("neurochip/") and name.endswith(".py")}
    assert {folder.as_posix() for folder in folders if f"{folder.as_posix()}/__init__.py" not in tree_files} == set()


@pytest.mark.parametrize("folder", DATA_FOLDERS)
def test_data_folders_hold_no_python(folder: str, tree_files: set[str]) -> None:
    names = {name for name in tree_files if name.startswith(f"{folder}/")}
    assert any(name.endswith(".toml") for name in names)
    assert {name for name in names if name.endswith(".py")} == set()


def test_the_changelog_starts_with_the_version_of_the_package(
    source_tree: Path, setup_cfg: configparser.ConfigParser
) -> None:
    newest = re.search(r"^## (\S+)", (source_tree / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == setup_cfg["metadata"]["version"]


def test_wheel_holds_the_files_of_the_tree_and_no_others(wheel: Path, tree_files: set[str]) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.partition("/")[0].endswith(".dist-info")}
    expected = {name for name in tree_files if name.startswith("neurochip/")}
    expected |= {f"neurochip/{name}" for name in tree_files if name.startswith(tuple(f"{d}/" for d in DATA_FOLDERS))}
    assert held == expected


def test_wheel_metadata_names_licence_python_and_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = email.message_from_string(archive.read(f"{folder}/METADATA").decode())
        commands = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE").decode()
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "neurochip = neurochip.cli:main" in commands
    assert licence.startswith("BSD 3-Clause License")


def test_source_distribution_holds_what_a_build_needs(distributions: Path, tree_files: set[str]) -> None:
    (path,) = distributions.glob("neurochip-*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = {name for name in tree_files if name.startswith(("neurochip/", *(f"{d}/" for d in DATA_FOLDERS)))}
    assert needed | {"setup.cfg", "pyproject.toml", "LICENSE", "README.md"} <= held


def test_every_module_of_the_wheel_can_be_imported_far_from_the_tree(
    installed: Path, tree_files: set[str], tmp_path: Path
) -> None:
    sources = [
        name.removesuffix(".py") for name in tree_files if name.startswith("neurochip/") and name.endswith(".py")
    ]
    modules = sorted(name.removesuffix("/__init__").replace("/", ".") for name in sources if "__main__" not in name)
    code = f"import importlib, neurochip\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
    place = run(installed, "-c", code + "print(neurochip.__file__)", cwd=tmp_path).strip()
    assert installed.parent.parent in Path(place).parents


def test_installed_command_finds_the_chips_inside_the_package(
    installed: Path, source_tree: Path, tmp_path: Path
) -> None:
    shown = run(installed, "-m", "neurochip", "chips", cwd=tmp_path)
    chips = [tomllib.loads(path.read_text("utf-8"))["name"] for path in source_tree.glob("hw_models/chips/*.toml")]
    assert chips
    assert [name for name in chips if name not in shown] == []


def test_installed_command_lists_the_tasks(installed: Path, tmp_path: Path) -> None:
    shown = run(installed.with_name("neurochip"), "tasks", cwd=tmp_path)
    assert "digits-dvs" in shown


def test_installed_package_reads_its_data_set_manifests(installed: Path, source_tree: Path, tmp_path: Path) -> None:
    names = sorted(path.stem for path in source_tree.glob("datasets/*.toml"))
    code = "from neurochip.tasks.manifest import read_manifest as read\n"
    code += f"print(*(read(name)['name'] for name in {names!r}), sep='\\n')"
    assert run(installed, "-c", code, cwd=tmp_path).split() == names


@pytest.mark.parametrize("name", DATA_FOLDERS)
def test_installed_package_holds_its_data_folders(name: str, installed: Path, tmp_path: Path) -> None:
    code = f"import neurochip._data\nprint(neurochip._data.data_folder({name!r}), neurochip.__file__, sep='\\n')"
    folder, module = run(installed, "-c", code, cwd=tmp_path).splitlines()
    assert Path(folder) == Path(module).parent / name
    assert installed.parent.parent in Path(module).parents


@pytest.mark.parametrize("name", DATA_FOLDERS)
def test_data_folders_are_no_top_level_modules(name: str, installed: Path, tmp_path: Path) -> None:
    """Another distribution may own `datasets`; what is found then lies outside this wheel's environment."""
    code = (
        "import importlib.util\n"
        f"spec = importlib.util.find_spec({name!r})\n"
        "print(*([spec.origin, *(spec.submodule_search_locations or [])] if spec else []), sep='\\n')"
    )
    for place in run(installed, "-c", code, cwd=tmp_path).splitlines():
        assert installed.parent.parent not in Path(place).parents
