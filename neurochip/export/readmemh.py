"""A network as $readmemh images, with the words of docs/microarchitecture.md: L columns, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from neurochip.errors import UserError
from neurochip.export.arrays import arrays_of
from neurochip.export.document import Document, document_of
from neurochip.export.load import Integers, Learned, n_rows

MICROARCHITECTURE = "ottt_core"
MANIFEST = "manifest.json"
LAYOUT = "column 0 of a word in its lowest bits, row by row, two's complement"
REGISTER_BITS, EXPONENTIAL_BITS = 32, 16


@dataclass
class Image:
    """The words of one memory: `number_bits` for each of `lanes` numbers, column 0 in the lowest bits."""

    name: str
    about: str
    number_bits: int
    lanes: int
    signed: bool
    words: list[int] = field(default_factory=list)
    regions: list[Document] = field(default_factory=list)

    @property
    def word_bits(self) -> int:
        """Bits of a word."""
        return self.number_bits * self.lanes

    def add(self, content: str, layer: int | None, rows: Sequence[Sequence[int]]) -> None:
        """Append the rows of a matrix, each from a word of its own."""
        region = {"content": content} if layer is None else {"content": content, "layer": layer}
        row_words = -(-len(rows[0]) // self.lanes)
        shape = {"rows": len(rows), "columns": len(rows[0]), "words_per_row": row_words}
        self.regions.append({**region, "first_word": len(self.words), **shape})
        for row in rows:
            for first in range(0, len(row), self.lanes):
                self.words.append(pack(row[first : first + self.lanes], self.number_bits))

    def text(self) -> str:
        """The file: comments say what the words are, `@` where a region begins."""
        digits = -(-self.word_bits // 4)
        numbers = f"{self.lanes} x {self.number_bits} bits {'signed' if self.signed else 'unsigned'}"
        lines = [f"// {self.about}: {len(self.words)} words of {self.word_bits} bits, {numbers}", f"// {LAYOUT}"]
        for region in self.regions:
            first, n_words = region["first_word"], region["rows"] * region["words_per_row"]
            of_layer = f"layer {region['layer']}, " if "layer" in region else ""
            lines.append(f"// {of_layer}{region['content']}: {region['rows']} rows of {region['columns']} columns")
            lines.append(f"@{first:x}")
            lines += (f"{word:0{digits}x}" for word in self.words[first : first + n_words])
        return "\n".join(lines) + "\n"

    def entry(self) -> Document:
        """What the manifest says of it."""
        return {
            "file": f"{self.name}.hex",
            "about": self.about,
            "words": len(self.words),
            "word_bits": self.word_bits,
            "lanes": self.lanes,
            "number_bits": self.number_bits,
            "signed": self.signed,
            "regions": self.regions,
        }


def pack(numbers: Iterable[int], bits: int) -> int:
    """One word of numbers in two's complement, the first in the lowest bits."""
    mask = (1 << bits) - 1
    word = 0
    for lane, number in enumerate(numbers):
        word |= (int(number) & mask) << (lane * bits)
    return word


def unpack(word: int, bits: int, n_numbers: int, signed: bool) -> list[int]:
    """The first numbers of a word; the reverse of `pack`."""
    numbers = [(word >> (lane * bits)) & ((1 << bits) - 1) for lane in range(n_numbers)]
    return [n - (1 << bits) if signed and n >> (bits - 1) else n for n in numbers]


def readmemh_files(learned: Learned) -> dict[str, bytes]:
    """One `<memory>.hex` per memory that is not 0 at the start, and `manifest.json`.

    Raises:
        UserError: a chip whose memories are not laid out like those of ottt_core.
    """
    if learned.microarchitecture != MICROARCHITECTURE:
        raise UserError(
            f"--format readmemh: the chip of the run is an {learned.microarchitecture}, and only the memories of "
            f"{MICROARCHITECTURE} have a word layout; allowed are npz and c"
        )
    images = [_synapse(learned), *_tables(learned)]
    if learned.velocities:
        images.append(_gradient(learned))
    manifest = document_of(learned)
    manifest["layout"] = LAYOUT
    manifest["memories"] = {image.name: image.entry() for image in images}
    files = {f"{image.name}.hex": image.text().encode() for image in images}
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {**files, MANIFEST: text.encode()}


def _synapse(learned: Learned) -> Image:
    """Weights and biases of all layers; rows of absent biases are not stored."""
    spec = learned.spec
    image = Image("synapse", "weights, rows of the bias last", spec.weight_bits, spec.synapse_lanes, True)
    for index, weights in enumerate(learned.weights):
        image.add("synapse", index, _stored(learned, index, weights))
    return image


def _gradient(learned: Learned) -> Image:
    """G of the layers that learn, 0 after a checkpoint, and behind all of them V."""
    spec = learned.spec
    image = Image("gradient", "gradients, 0, and behind them velocities", spec.gradient_bits, spec.synapse_lanes, True)
    learning = [i for i, layer in enumerate(spec.layers) if layer.learns and layer.kind != "feedback"]
    for index in learning:
        image.add("gradient", index, _stored(learned, index, learned.velocities[index] * 0))
    for index in learning:
        image.add("velocity", index, _stored(learned, index, learned.velocities[index]))
    return image


def _stored(learned: Learned, index: int, rows: Integers) -> list[list[int]]:
    found: list[list[int]] = rows[: n_rows(learned.spec.layers[index])].tolist()
    return found


def _tables(learned: Learned) -> list[Image]:
    """What the semantics compute from real numbers, one number per word: thresholds, tables, random registers."""
    spec, arrays = learned.spec, arrays_of(learned)
    singles = (
        ("threshold", "thresholds, one per layer, 0 for readouts", spec.membrane_bits, True),
        ("surrogate_table", "surrogate codes, index -32 first", spec.surrogate_bits, False),
        ("exponential_table", "exponentials E[0] to E[255]", EXPONENTIAL_BITS, False),
    )
    images = []
    for name, about, bits, signed in singles:
        image = Image(name, about, bits, 1, signed)
        image.add(name, None, [[number] for number in arrays[name].tolist()])
        images.append(image)
    registers = Image("random_registers", "random registers, one word per layer", REGISTER_BITS, spec.rng_lanes, False)
    for index, lanes in enumerate(arrays["random_registers"].tolist()):
        registers.add("random_registers", index, [lanes])
    return [*images, registers]


__all__ = ["LAYOUT", "MANIFEST", "Image", "pack", "readmemh_files", "unpack"]
