"""Texts of others, such as names in files, on a terminal."""

from __future__ import annotations


def printable(text: str, kept: str = "") -> str:
    """Return a text with what a terminal would obey or cannot show (control characters, bytes of no UTF-8) escaped.

    Args:
        text: of a file, a user or a library.
        kept: characters that stay as they are, such as a line feed.
    """
    return "".join(letter if letter.isprintable() or letter in kept else ascii(letter)[1:-1] for letter in text)
