"""What a reader must know of a run to read its report rightly."""

from __future__ import annotations

from neurochip.network.nir_report import import_notes
from neurochip.rules.presets import NO_LEARNING
from neurochip.setup import Setup

_WITH_EPOCHS = (
    "Costs per sample are means over all training samples of the last epoch with learning on, and over the test split "
    "for inference; energy is what the model of the chip gives, not a measurement.",
    "Training accuracy of rules that change weights at every step is measured while they learn the label of each "
    "sample; compare rules by test accuracy.",
)
_OF_A_STREAM = (
    "A stream: every sample was predicted by inference with the weights of that moment, and then, if it had a label, "
    "learned. Costs per sample with learning on are means over the learned samples, costs of inference over all "
    "samples of the stream: a labelled sample costs both. Energy is what the model of the chip gives, not a "
    "measurement.",
    "Test and validation accuracy are those at the end of the stream, under its last drift.",
)


def run_notes(setup: Setup) -> list[str]:
    """Sentences of the report that say how its numbers are meant."""
    notes = list(_WITH_EPOCHS if setup.resolved.streamed is None else _OF_A_STREAM)
    batch = setup.resolved.learning.batch
    online = [rule.name for rule in setup.rules if rule.group != NO_LEARNING and rule.update != "sample"]
    if batch > 1 and online:
        notes.append(
            f"{', '.join(online)}: batch 1, as these rules change weights within a sample; learning.batch = {batch} "
            "holds for the others."
        )
    immediate = [rule.name for rule in setup.rules if rule.update == "immediate"]
    if setup.resolved.learning.momentum_shift and immediate:
        notes.append(f"{', '.join(immediate)}: without momentum, as these rules keep no gradients.")
    infers = any(rule.group == NO_LEARNING for rule in setup.rules)
    imported = import_notes(setup)
    if infers and setup.imported is not None:
        changed = ", in a network that differs from the graph as the notes below say" if imported else ""
        notes.append(
            f"infer runs the weights of the NIR graph, rounded to the chip's weight format{changed}; its cost is a "
            "pass over the training samples without learning, and the base of the ratios to inference."
        )
    elif infers:
        notes.append(
            "infer loads weights trained off the chip by the float twin of bptt, rounded to the chip's weight format; "
            "its cost is a pass over the training samples without learning, and the base of the ratios to inference."
        )
    return [*notes, *(f"NIR graph: {note}." for note in imported)]
