"""Templates of the pages: all text escaped, style and parts shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill in a file of `templates/`; a name that `content` does not have is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("neurochip.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content) + "\n"
