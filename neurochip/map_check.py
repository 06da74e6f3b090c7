"""Whether a point of a map can be asked for, and what to name if not: the value of an axis, or several that clash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurochip.errors import UserError
from neurochip.estimate import Asked, check_asked
from neurochip.map_axes import RATE, Axis, at_point, axis_word, experiment_key, n_hidden
from neurochip.network.named import NamedNetwork, named_network
from neurochip.network.shape import layer_shapes
from neurochip.setup import chip_of

PER_LAYER = (RATE, "psi", "signal")


def network_at(
    text: str, overrides: Sequence[str], asked: Asked, settings: Mapping[str, Any], axes: Sequence[Axis]
) -> tuple[NamedNetwork, Asked]:
    """The network and what is assumed at a point; prices nothing and loads no task.

    Args:
        text, overrides, asked, settings: as of `neurochip.map_axes.at_point`.
        axes: those that were asked for; none: the settings are those of the default map.

    Raises:
        UserError: `--axis KEY: ...` for a value that is wrong by itself, else all values that the sentence is about.
    """
    try:
        return checked_at(text, overrides, asked, settings)
    except UserError as error:
        source = named_network(text, overrides).source
        sentence = _sentence(error, source)
        for key in (axis.key for axis in axes):
            if _alone(text, overrides, asked, {key: settings[key]}, source) == sentence:
                raise UserError(f"--axis {key}: {sentence}") from error
        about = [key for key in settings if (experiment_key(key) or key) in sentence] or list(settings)
        words = [f"{key}={axis_word(settings[key])}" for key in about]
        where = ", ".join(f"--axis {word}" for word in words) if axes else f"{source} at {', '.join(words)}"
        raise UserError(f"{where}: {sentence}") from error


def checked_at(
    text: str, overrides: Sequence[str], asked: Asked, settings: Mapping[str, Any]
) -> tuple[NamedNetwork, Asked]:
    """As `at_point`, and its chip, its shapes (where no task says them) and what is assumed are right.

    Raises:
        UserError: what is wrong, not which axis it came from.
    """
    network, asked = at_point(text, overrides, asked, settings)
    chip_of(network.experiment)
    n_layers = n_hidden(network.experiment) + 1
    if network.n_inputs is not None and network.n_classes is not None:
        try:
            n_layers = len(layer_shapes(network.experiment, network.n_inputs, network.n_classes))
        except UserError as error:
            raise UserError(f"{network.source}: {error}") from error
    try:
        check_asked(asked, n_layers)
    except UserError as error:
        sentence = str(error)
        for key in (key for key in PER_LAYER if isinstance(settings.get(key), list)):
            sentence = sentence.replace(f"--{key} has", f"{axis_word(settings[key])} has")
        raise UserError(sentence) from error
    return network, asked


def _alone(text: str, overrides: Sequence[str], asked: Asked, settings: Mapping[str, Any], source: str) -> str | None:
    """What is wrong with the value of one axis where no other axis varies anything."""
    try:
        checked_at(text, overrides, asked, settings)
    except UserError as error:
        return _sentence(error, source)
    return None


def _sentence(error: UserError, source: str) -> str:
    """What is wrong, without where it came from."""
    return str(error).removeprefix(f"{source}: ").removeprefix("--set ")
