"""Where the data folders (`hw_models`, `datasets`) are."""

from __future__ import annotations

from pathlib import Path

DATA_FOLDERS: tuple[str, ...] = ("hw_models", "datasets")


def data_folder(name: str, package: Path | None = None) -> Path:
    """Return the folder of packaged data called `name`: inside the package (a wheel), else beside it (a checkout).

    Args:
        name: one of DATA_FOLDERS.
        package: the package's own folder; the default is the folder of this file.

    Raises:
        FileNotFoundError: the installation lacks the folder.
    """
    if name not in DATA_FOLDERS:
        raise ValueError(f"data folder {name!r} is unknown; known are {', '.join(DATA_FOLDERS)}")
    package = Path(__file__).resolve().parent if package is None else package
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the data folder {name} is neither in {package} nor beside it; reinstall neurochip")
