"""The one exception for bad user input."""

from __future__ import annotations


class UserError(ValueError):
    """Input that cannot be used.

    The message is one sentence that names the file, the key, the value and what is allowed; the
    command line prints it and exits with code 2.
    """
