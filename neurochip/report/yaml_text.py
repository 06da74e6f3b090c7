"""Plain data as YAML: dictionaries, lists, texts, numbers; read back the same by YAML 1.1 and 1.2 readers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
WORDS_OF_YAML = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}  # no texts in one version or the other


def yaml_text(content: Mapping[str, Any], comments: Sequence[str] = ()) -> str:
    """A document; comments come first, one per line.

    Raises:
        ValueError: a number that is NaN or infinite.
    """
    lines = [f"# {' '.join(comment.split())}" for comment in comments]
    return "\n".join([*lines, *_mapping(content, "")]) + "\n"


def _mapping(content: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in content.items():
        yield from _entry(f"{indent}{_scalar(key)}:", value, indent)


def _entry(start: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield start
        yield from _mapping(value, indent + "  ")
    elif isinstance(value, list | tuple) and value:
        yield start
        for item in value:
            yield from _item(item, indent)
    else:
        yield f"{start} {_scalar(value)}"


def _item(item: Any, indent: str) -> Iterator[str]:
    """An item of a list; a dictionary begins beside its dash."""
    if not isinstance(item, Mapping) or not item:
        yield f"{indent}- {_scalar(item)}"
        return
    lines = list(_mapping(item, indent + "  "))
    yield f"{indent}- {lines[0].removeprefix(indent + '  ')}"
    yield from lines[1:]


def _scalar(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and value.lower() not in WORDS_OF_YAML
        return value if plain else f'"{"".join(map(_letter, value))}"'
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_scalar(key)}: {_scalar(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    text = json.dumps(value, allow_nan=False)
    if isinstance(value, float) and "e" in text and "." not in text:  # 1e-06 would be a text in YAML 1.1
        return text.replace("e", ".0e")
    return text


def _letter(letter: str) -> str:
    """A letter in double quotes."""
    if letter.isascii() and letter.isprintable() and letter not in '\\"':
        return letter
    return f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"
