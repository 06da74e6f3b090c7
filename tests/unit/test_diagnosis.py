"""Are the figures of a diagnosis those that a hand or a direct simulation finds?"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_experiment import run_tiny, tiny_experiment, write_tiny_task

from neurochip.config import Experiment, load_experiment
from neurochip.core.engine import Engine
from neurochip.diagnosis.advice import advise
from neurochip.diagnosis.compared import Neurons, divergence_of, neurons_of, snr_db
from neurochip.diagnosis.measure import Diagnosis, LayerDiagnosis, _unused_bits
from neurochip.diagnosis.of_run import diagnose_run
from neurochip.diagnosis.of_setup import section
from neurochip.diagnosis.products import Taps
from neurochip.diagnosis.remedies import inline_toml
from neurochip.diagnosis.rounding import Rounding, rounding_of
from neurochip.diagnosis.shares import saturation_shares
from neurochip.diagnosis.updates import WeightUpdate
from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.fixed_point import QFormat
from neurochip.report.diagnosis import sentence, table_rows
from neurochip.run_directory import read_experiment
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import ConvShape

# --- rounding


def simulated(values: list[int], shift: int, rounding: str) -> tuple[float, float, float, float]:
    """Unchanged share, rate lost, bias and drift from W <- (W 2^S + P + c) >> S itself, over all random numbers."""
    weight = 5
    half = 2 ** (shift - 1) if rounding == "nearest" and shift else 0
    constants = range(2**shift) if rounding == "stochastic" else [half]
    unchanged = given = square = bias = size = 0.0
    for p in values:
        exact = p / 2**shift
        for c in constants:
            change = ((weight * 2**shift + p + c) >> shift) - weight
            unchanged += (change == 0) / len(constants)
            given += change * p / len(constants)
            bias += (change - exact) / len(constants)
        square += p * exact
        size += abs(exact)
    return unchanged / len(values), 1 - given / square, bias / len(values), abs(bias) / size


@pytest.mark.parametrize("rounding", ["floor", "nearest", "stochastic"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.integers(-300, 300).filter(bool), min_size=1, max_size=12), shift=st.integers(0, 7))
def test_rounding_is_that_of_a_direct_simulation(rounding: str, values: list[int], shift: int) -> None:
    scaled = np.array([[*values, 0]])  # a 0 is no update
    (found,) = rounding_of([WeightUpdate(0, scaled, shift)], rounding, 1)
    assert found is not None and found.n_updates == len(values)
    figures = found.unchanged_share, found.rate_lost, found.bias_lsb, found.bias_share
    assert figures == pytest.approx(simulated(values, shift, rounding), abs=1e-9)


def test_nearest_rounding_of_small_updates_loses_the_rate() -> None:
    # P / 2^3: 0.375, -0.375, 0.5, 2: nearest makes 0, 0, 1, 2
    (found,) = rounding_of([WeightUpdate(0, np.array([[3, -3], [4, 16]]), 3)], "nearest", 1)
    assert found is not None
    assert found.unchanged_share == 0.5
    assert found.rate_lost == pytest.approx(1 - (1 * 4 + 2 * 16) / ((9 + 9 + 16 + 256) / 8))
    assert found.bias_lsb == pytest.approx(0.5 / 4)
    assert found.bias_share == pytest.approx(0.5 / (0.375 + 0.375 + 0.5 + 2))


def test_layers_without_updates_have_no_figures() -> None:
    updates = [WeightUpdate(1, np.array([[0, 8]]), 3), WeightUpdate(0, np.zeros((2, 2), np.int64), 3)]
    first, second = rounding_of(updates, "floor", 2)
    assert first is None
    assert second == Rounding(1, 0.0, 0.0, 0.0, 0.0)


# --- shares


def test_saturation_is_a_share_of_the_additions() -> None:
    """Two weights of 20 into a membrane of 6 bits: the second addition of every step saturates at 31, the bias not."""
    hidden = replace(_layer(), n_in=2, n_out=1, leak_kind="constant", leak_value=0, threshold_q=31, keeps_trace=False)
    readout = replace(hidden, kind="readout", n_in=1, n_out=2, bias=False, leak_kind="none", threshold_q=0)
    spec = CoreSpec(
        (hidden, readout), 3, 1, 8, "nearest", 6, 8, 0, 8, "nearest", 12, 4, "sigmoid", 24, 24, "spike", "immediate",
        1, 8, 8, 0, "synapse", "detached", 16, 1, 16, 16,
    )  # fmt: skip
    events = np.tile([0, 1], 3), np.ones(6, int)
    data = EventDataset(np.arange(0, 7, 2), *events, np.array([0]), 2, 3)
    core = Engine(spec, [np.array([[20], [20], [5]]), np.zeros((2, 2), int)])
    result = core.run(data, np.array([0]), learn=False)
    assert saturation_shares(spec, 0, result, None) == {"membrane": 3 / 9}
    per_neuron = Engine(replace(spec, deliver="neuron"), core.weights).run(data, np.array([0]), learn=False)
    assert saturation_shares(replace(spec, deliver="neuron"), 0, per_neuron, None) == {"membrane": 3 / 3}


# --- products, ratios, neurons


def test_products_of_a_convolution_are_sums_over_its_taps() -> None:
    conv = ConvShape(4, 5, 4, 6, 3, 2, stride_y=2, padding_y=1, groups=2)
    layer = replace(_layer(), kind="conv", n_in=conv.n_in, n_out=conv.n_out, conv=conv)
    rng = np.random.default_rng(0)
    p, signal = rng.integers(0, 9, conv.n_in), rng.integers(-9, 9, conv.n_out)
    expected = np.zeros((conv.n_rows + conv.groups, conv.columns))
    for address in range(conv.n_in):
        for row, block in conv.taps(address):
            expected[row] += p[address] * signal[block * conv.columns : (block + 1) * conv.columns]
    for block in range(conv.n_blocks):
        bias_row = conv.n_rows + block % conv.groups
        expected[bias_row] += 3 * signal[block * conv.columns : (block + 1) * conv.columns]
    np.testing.assert_array_equal(Taps(layer).products(p, 3, signal), expected)


def _layer() -> LayerSpec:
    return LayerSpec(
        "dense", 2, 3, True, "shift", 1, 16, "subtract", True, "shift", 1, 4, 4, 4, 4, 8
    )  # fmt: skip


def test_snr_is_ten_log_of_the_ratio_of_squares() -> None:
    assert snr_db(np.array([3.0, 4.1]), np.array([3.0, 4.0])) == pytest.approx(10 * math.log10(25 / 0.01))
    assert snr_db(np.zeros(2), np.zeros(2)) is None
    assert snr_db(np.ones(2), np.ones(2)) is None


def test_divergence_is_the_first_spike_that_differs() -> None:
    twin = np.zeros((3, 4, 2))
    twin[:, 1, 0] = 1
    core = twin.astype(int)
    core[0, 2, 1] = 1
    core[1, 1, 0] = 0
    found = divergence_of({"spike/0": core}, {"spike/0": twin}, 0)
    assert (found.samples_share, found.first_step, found.median_step) == (2 / 3, 2, 2.5)
    assert found.spikes_share == 2 / 3
    same = divergence_of({"spike/0": twin}, {"spike/0": twin}, 0)
    assert (same.samples_share, same.first_step, same.median_step, same.spikes_share) == (0.0, None, None, 0.0)


def test_neurons_that_never_fire_are_dead_only_without_a_surrogate_derivative() -> None:
    spikes, psi = np.zeros((2, 3, 4), int), np.zeros((2, 3, 4), int)
    spikes[:, :, 0] = 1  # always
    spikes[1, 2, 1] = 1  # once
    psi[0, 0, 2] = 5  # never, but it may learn to; neuron 3 is dead
    potential = np.zeros((2, 3, 4))
    potential[1, 1] = [6.0, 3.0, 1.0, -2.0]
    probes, twin = {"spike/0": spikes, "psi/0": psi}, {"potential/0": potential}
    assert neurons_of(probes, twin, 0, 2.0) == Neurons(0.5, 0.25, 0.25, peak=1.0)
    assert neurons_of({"spike/0": spikes}, twin, 0, 2.0).dead is None


# --- advice


HEALTHY_LAYER = LayerDiagnosis(
    "dense", {"membrane": 0.0, "error": 0.01, "weight": 0.0}, 0.1, 0.0, 0.5, Rounding(9, 0.9, 0.0, 0.0, 0.0),
    {"potential": 50.0, "trace": 40.0, "error": 20.0}, None, Neurons(0.1, 0.0, 0.0, 2.0),
)  # fmt: skip
READOUT = replace(HEALTHY_LAYER, kind="readout", underflow=None, neurons=None, snr_db={"error": 30.0})


@pytest.fixture(scope="module")
def resolved(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("resolved")
    write_tiny_task(folder)
    run_tiny(folder, folder / "run", ["sltt-o"], "learn", learning__epochs=1)
    return read_experiment(folder / "run")


def advice_for(resolved: Experiment, **changes: object) -> tuple[str, int, tuple[str, ...]] | None:
    """Cause, layer and overrides if the second hidden layer of three layers is changed."""
    changed = replace(HEALTHY_LAYER, **changes)
    found = advise(Diagnosis(4, (HEALTHY_LAYER, changed, READOUT)), resolved)
    return None if found is None else (found.cause, found.layer, found.overrides)


def test_a_healthy_core_gets_no_advice(resolved: Experiment) -> None:
    assert advice_for(resolved) is None


def test_lost_rate_is_the_first_cause(resolved: Experiment) -> None:
    lost = Rounding(9, 0.99, 0.9, 0.0, 0.0)
    found = advice_for(resolved, rounding=lost, saturation={"membrane": 0.5}, neurons=Neurons(1.0, 1.0, 0.0, 0.1))
    assert found == ("rounding", 1, ("precision.weight.rounding=stochastic",))
    drift = advice_for(resolved, rounding=Rounding(9, 0.5, -0.1, -0.5, 4.0))
    assert drift == ("rounding", 1, ("precision.weight.rounding=stochastic",))


def test_saturation_moves_the_point_of_the_layers_that_saturate(resolved: Experiment) -> None:
    first, second = resolved.precision.membrane.frac
    found = advice_for(resolved, saturation={"membrane": 0.05})
    assert found == ("saturation", 1, (f"precision.membrane.frac=[{first}, {second - 2}]",))
    fracs = resolved.precision.error.frac
    assert isinstance(fracs, list)
    errors = [fracs[0] - 2, fracs[1] - 2, fracs[2]]
    assert advice_for(resolved, saturation={"error": 0.3}) == ("saturation", 1, (f"precision.error.frac={errors}",))


def test_few_bits_get_more_before_the_point(resolved: Experiment) -> None:
    narrow = resolved.precision.model_copy(update={"weight": resolved.precision.weight.model_copy(update={"bits": 4})})
    found = advice_for(
        resolved.model_copy(update={"precision": narrow}), saturation={"weight": 0.01}, weights_at_limit=0.1
    )
    fracs = narrow.weight.frac
    assert isinstance(fracs, list)
    finer = [frac + 2 for frac in fracs]
    assert found == ("saturation", 1, ("precision.weight.bits=8", f"precision.weight.frac={finer}"))


def test_noise_and_underflow_ask_for_bits_behind_the_point(resolved: Experiment) -> None:
    fracs = resolved.precision.error.frac
    assert isinstance(fracs, list)
    bits = ("precision.error.bits=10", f"precision.error.frac={[frac + 2 for frac in fracs]}")
    assert advice_for(resolved, underflow=0.4) == ("resolution", 1, bits)
    assert advice_for(resolved, snr_db={"error": 1.0}) == ("resolution", 1, bits)


def test_weights_that_leave_their_first_bits_empty_become_finer_and_membranes_as_fine(resolved: Experiment) -> None:
    fracs, bounds = resolved.precision.weight.frac, resolved.precision.membrane.frac
    assert isinstance(fracs, list) and isinstance(bounds, list)
    precision = resolved.precision
    narrow = precision.model_copy(update={"membrane": precision.membrane.model_copy(update={"frac": fracs[:2]})})
    bounded = resolved.model_copy(update={"precision": narrow})
    finer = f"precision.weight.frac={[fracs[0], fracs[1] + 2, fracs[2]]}"
    wider = f"precision.membrane.bits={precision.membrane.bits + 2}"
    membranes = f"precision.membrane.frac={[frac + 2 for frac in fracs[:2]]}"
    assert advice_for(bounded, unused_bits=2.9) == ("resolution", 1, (finer, wider, membranes))
    assert all(bound >= frac + 2 for bound, frac in zip(bounds, fracs, strict=False))
    assert advice_for(resolved, unused_bits=2.9) == ("resolution", 1, (finer,))
    assert advice_for(resolved, unused_bits=1.9) is None
    many = precision.model_copy(update={"weight": precision.weight.model_copy(update={"bits": 12})})
    assert advice_for(resolved.model_copy(update={"precision": many}), unused_bits=2.9) is None  # 9 bits do


def test_unused_bits_are_those_above_all_but_the_largest_weights() -> None:
    codes = np.full((100, 100), 3)
    codes[0, :5] = 127
    assert _unused_bits(codes, QFormat(8, 0, True)) == pytest.approx(np.log2(127 / 3))
    codes[0] = -128
    assert _unused_bits(codes, QFormat(8, 0, True)) == 0.0
    assert _unused_bits(np.zeros((2, 2), int), QFormat(8, 0, True)) == pytest.approx(np.log2(127))


def test_dead_neurons_get_a_threshold_that_they_reach(resolved: Experiment) -> None:
    found = advice_for(resolved, neurons=Neurons(0.9, 0.5, 0.0, peak=0.25))
    assert found is not None and found[:2] == ("dead neurons", 1)
    changed = load_experiment(None, found[2], tables=resolved.to_tables())
    assert [getattr(layer, "threshold", None) for layer in changed.network.layers] == [1.0, 0.12, None]
    before = [layer.model_dump() for layer in resolved.network.layers]
    after = [layer.model_dump() for layer in changed.network.layers]
    after[1]["threshold"] = 1.0
    assert after == before


def test_a_remedy_that_is_not_legal_is_not_given(resolved: Experiment) -> None:
    diagnosis = Diagnosis(4, (HEALTHY_LAYER, replace(HEALTHY_LAYER, saturation={"membrane": 0.05}), READOUT))
    found = advise(diagnosis, resolved, lambda remedy: any("bits" in text for text in remedy))
    assert found is not None
    assert found.overrides[0] == "precision.membrane.bits=20"
    assert advise(diagnosis, resolved, lambda remedy: False) is None


def test_inline_toml_reads_back() -> None:
    import tomllib

    value = [{"kind": "dense", "name": 'a "b"', "bias": False, "kernel": [2, 3], "threshold": 0.5}]
    assert tomllib.loads(f"x = {inline_toml(value)}")["x"] == value


# --- runs


@pytest.mark.parametrize(
    "rule", ["infer", "sltt-o", "ottt-o", "bptt", "trace/local(1)/sample", "trace/feedback/sample"]
)
def test_every_kind_of_rule_is_diagnosed(tmp_path: Path, rule: str) -> None:
    write_tiny_task(tmp_path)
    run_tiny(tmp_path, tmp_path / "run", [rule], learning__epochs=1)
    document = diagnose_run(tmp_path / "run", 8)
    json.dumps(document, allow_nan=False)
    (result,) = document["results"]
    assert (result["rule"], result["n_samples"]) == (rule, 8)
    hidden = [layer for layer in result["layers"] if layer["neurons"] is not None]
    assert [layer["kind"] for layer in hidden] == ["dense", "dense"]
    assert all((layer["neurons"]["dead"] is None) == (rule == "infer") for layer in hidden)
    assert (result["layers"][-1]["rounding"] is None) == (rule == "infer")
    assert "samples whose spikes differ" in [row[0] for row in table_rows(result)]
    assert document == diagnose_run(tmp_path / "run", 8)


def test_a_convolution_with_momentum_is_diagnosed(tmp_path: Path) -> None:
    layers = [{"kind": "conv2d", "channels": 3, "kernel": 3}, {"kind": "avgpool", "kernel": 2}, {"kind": "readout"}]
    write_tiny_task(tmp_path)
    changes = {"learning__epochs": 1, "network__layers": layers, "learning__momentum_shift": 2}
    run_tiny(tmp_path, tmp_path / "run", ["ottt-a"], "learn", **changes)
    (result,) = diagnose_run(tmp_path / "run", 6)["results"]
    assert result["layers"][0]["rounding"]["n_updates"] > 0
    assert result["layers"][0]["snr_db"]["gradient"] > 10


def test_a_run_in_real_numbers_is_refused(tmp_path: Path) -> None:
    write_tiny_task(tmp_path)
    run_tiny(tmp_path, tmp_path / "run", ["sltt-o"], learning__epochs=1, precision="float")
    with pytest.raises(UserError, match="'float' has no formats"):
        diagnose_run(tmp_path / "run")
    with pytest.raises(UserError, match="is not a run directory"):
        diagnose_run(tmp_path / "nothing")


def test_the_sentence_names_the_options_to_type() -> None:
    experiment = tiny_experiment(precision__weight__rounding="nearest")
    diagnosis = Diagnosis(4, (replace(READOUT, rounding=Rounding(9, 0.62, 0.9, 0.0, 0.0)),))
    assert sentence("ottt-o", section(diagnosis, advise(diagnosis, experiment))) == (
        "ottt-o: 62 % of the weight updates of layer 0 (readout) round to no change, and 90 % of its learning rate is "
        "lost: use stochastic rounding. Add --set precision.weight.rounding=stochastic"
    )
    assert sentence("ottt-o", {"advice": None}) == "ottt-o: no number format found that limits accuracy."
