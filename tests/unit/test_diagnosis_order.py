"""Which cause does a diagnosis name first, and is what it advises something that the experiment may have?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny_experiment import tiny_experiment

from neurochip.config import Experiment
from neurochip.config_nir import NirTable
from neurochip.diagnosis.advice import advise
from neurochip.diagnosis.compared import Neurons
from neurochip.diagnosis.measure import Diagnosis, LayerDiagnosis
from neurochip.diagnosis.rounding import Rounding

HIDDEN = LayerDiagnosis(
    "dense", {"membrane": 0.0, "error": 0.01, "weight": 0.0}, 0.1, 0.0, 0.5, Rounding(9, 0.9, 0.0, 0.0, 0.0),
    {"potential": 50.0, "trace": 40.0, "error": 20.0}, None, Neurons(0.1, 0.0, 0.0, 2.0),
)  # fmt: skip
READOUT = replace(HIDDEN, kind="readout", underflow=None, neurons=None, snr_db={"error": 30.0})
FRACS: dict[str, Any] = {
    f"precision__{signal}__frac": fracs
    for signal, fracs in {"weight": [7, 9, 12], "membrane": [12, 12], "trace": [6, 6, 5], "error": [8, 7, 7]}.items()
}


def experiment() -> Experiment:
    return tiny_experiment(**FRACS)


def named_first(at_limit: float, **shares: float) -> tuple[str | None, tuple[str, ...]]:
    """Signal and overrides of the advice if these shares of the readout saturate."""
    readout = replace(READOUT, saturation=shares, weights_at_limit=at_limit)
    found = advise(Diagnosis(8, (HIDDEN, HIDDEN, readout)), experiment())
    assert found is not None
    return found.signal, found.overrides


@pytest.mark.parametrize("other", [{"trace": 0.065}, {"error": 0.3}, {"readout": 0.02}, {}])
def test_many_weights_at_their_limit_come_before_what_follows_from_them(other: dict[str, float]) -> None:
    assert named_first(0.375, weight=0.437, **other) == ("weight", ("precision.weight.frac=[7, 9, 10]",))


def test_few_weights_at_their_limit_come_after_traces_and_none_before_membranes() -> None:
    assert named_first(0.15, weight=0.437, trace=0.065)[0] == "trace"
    assert named_first(0.375, weight=0.05, trace=0.065)[0] == "trace"
    assert named_first(0.15, weight=0.437)[0] == "weight"
    hidden = replace(HIDDEN, saturation={"membrane": 0.05, "weight": 0.4}, weights_at_limit=0.4)
    found = advise(Diagnosis(8, (hidden, HIDDEN, READOUT)), experiment())
    assert found is not None and found.signal == "membrane"


def test_the_remedy_of_many_weights_is_for_layers_with_fewer_too() -> None:
    hidden = replace(HIDDEN, saturation={"weight": 0.02}, weights_at_limit=0.06)
    readout = replace(READOUT, saturation={"weight": 0.4}, weights_at_limit=0.4)
    found = advise(Diagnosis(8, (HIDDEN, hidden, readout)), experiment())
    assert found is not None
    assert (found.layer, found.overrides) == (2, ("precision.weight.frac=[7, 7, 10]",))


def test_an_imported_graph_gets_no_other_threshold_but_what_else_helps() -> None:
    own = experiment()
    network = own.network.model_copy(update={"nir": NirTable(file="net.nir")})
    imported = own.model_copy(update={"network": network})
    dead = replace(HIDDEN, neurons=Neurons(0.9, 0.5, 0.4, peak=0.25))
    diagnosis = Diagnosis(8, (dead, HIDDEN, READOUT))
    found = advise(diagnosis, own)
    assert found is not None and found.overrides[0].startswith("network.layers=")
    assert advise(diagnosis, imported) is None
    coarse = Diagnosis(8, (replace(dead, underflow=0.4), HIDDEN, READOUT))
    found = advise(coarse, imported)
    assert found is not None and found.cause == "resolution"
