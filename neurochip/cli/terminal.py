"""The console of every command: text of files and experiments cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from neurochip.printable import printable

LAYOUT = "\n\t"


class Terminal(Console):
    """A console that escapes control characters in all that it prints, but for its own colours and cursor."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of rich, their texts printable."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, LAYOUT), segment.style)
