"""Makes the helper modules beside these tests importable: pytest's importlib mode leaves this folder off the path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

HELPERS = (
    "strategies",
    "later_options",
    "network_topology",
    "network_formats",
    "network_cases",
    "comparison",
    "network_statistics",
    "contract_network",
    "clock_chips",
)

for _name in HELPERS:
    _full = f"property_{_name}"
    if _full not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_full, Path(__file__).with_name(f"{_name}.py"))
        assert _spec is not None and _spec.loader is not None
        sys.modules[_full] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_full])
