"""Published silicon computed again: figures in `hw_models/silicon/`, predictions here, one check per number.

Nothing here runs a network. `all_checks(folder)` reads a folder like `hw_models` and returns every check;
`summary(checks)` says how many predictions hold. Only predictions count as validation.
"""

from __future__ import annotations

from neurochip.silicon.check import Check, Summary, summary
from neurochip.silicon.validate import all_checks

__all__ = ["Check", "Summary", "all_checks", "summary"]
