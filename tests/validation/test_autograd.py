"""Are the unrolled gradients of the float twin those of PyTorch's autograd? And do they relate to OTTT as derived?"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurochip.core.float_core import FloatCore
from neurochip.core.float_spec import FloatLayerSpec, FloatSpec
from neurochip.events import EventDataset

STORED = Path(__file__).parent / "data" / "autograd_vectors.json"
CASES: list[dict[str, Any]] = json.loads(STORED.read_text())["cases"]


def name_of(case: dict[str, Any]) -> str:
    keys = ("reset", "reset_path", "surrogate", "mse_share")
    return "-".join([f"{len(case['leaks'])}hidden", *(str(case[key]) for key in keys)])


def core_of(case: dict[str, Any], **changes: Any) -> FloatCore:
    """The float twin of a stored case; `changes` replace fields of the rule."""
    keeps_trace = changes.get("credit") == "trace"
    layers = []
    for n_in, n_out, leak, threshold in zip(
        case["sizes"][:-2], case["sizes"][1:-1], case["leaks"], case["thresholds"], strict=True
    ):
        neuron = {"leak": leak, "threshold": threshold, "reset": case["reset"]}
        layers.append(FloatLayerSpec("dense", n_in, n_out, **neuron, keeps_trace=keeps_trace, trace_leak=leak))
    layers.append(FloatLayerSpec("readout", *case["sizes"][-2:]))
    rule = {key: case[key] for key in ("surrogate", "mse_share", "reset_path")}
    rule |= {"credit": "unroll", "update": "accumulate", **changes}
    return FloatCore(FloatSpec(tuple(layers), len(case["events"]), **rule), case["weights"])


def dataset_of(case: dict[str, Any]) -> EventDataset:
    events = np.array([event for step in case["events"] for event in step])
    offsets = np.cumsum([0, *map(len, case["events"])])
    return EventDataset(
        offsets, events[:, 0], events[:, 1], np.array([case["label"]]), case["sizes"][0], len(case["events"])
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_unrolled_gradient_equals_autograd(case: dict[str, Any]) -> None:
    gradients = core_of(case).gradient(dataset_of(case), 0)
    for gradient, expected in zip(gradients, case["gradients"], strict=True):
        assert np.abs(np.array(expected)).max() > 0.1
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_forward_pass_equals_torch(case: dict[str, Any]) -> None:
    run = core_of(case).run(dataset_of(case), [0], learn=False)
    np.testing.assert_allclose(run.readout_sums[0], case["readout_sum"], rtol=1e-12)
    np.testing.assert_allclose(run.losses[0] * len(case["events"]), case["cross_entropy"], rtol=1e-12)
    assert run.spikes_per_layer.tolist() == [*case["spikes"], 0]


def test_cases_tell_the_reset_paths_apart() -> None:
    """A core that ignored `reset_path` would fail: the other path is far from every stored gradient."""
    for case in CASES:
        other = "exact" if case["reset_path"] == "detached" else "detached"
        wrong = core_of(case, reset_path=other).gradient(dataset_of(case), 0)[0]
        assert np.abs(wrong - case["gradients"][0]).max() > 1e-3


@pytest.mark.peers
def test_stored_numbers_are_what_torch_computes_today() -> None:
    pytest.importorskip("torch")
    path = Path(__file__).parents[2] / "scripts" / "make_autograd_vectors.py"
    if not path.is_file():
        pytest.skip("scripts/make_autograd_vectors.py is not here")
    spec = importlib.util.spec_from_file_location("make_autograd_vectors", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    networks = json.loads((STORED.parent / "autograd_networks.json").read_text())["cases"]
    for cases, make, run in (
        (CASES, script.make_case, script.autograd),
        (networks, script.make_network, script.network_autograd),
    ):
        for index, stored in enumerate(cases):
            case = make(index)
            assert case == {key: stored[key] for key in case}
            for gradient, expected in zip(run(case)["gradients"], stored["gradients"], strict=True):
                np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-12)


DETACHED = [case for case in CASES if case["reset_path"] == "detached"]


@pytest.mark.parametrize("case", DETACHED, ids=name_of)
def test_ottt_equals_detached_bptt_in_the_last_hidden_layer_only(case: dict[str, Any]) -> None:
    """With frozen weights; the bias is excepted, because OTTT gives it no trace."""
    data = dataset_of(case)
    bptt = core_of(case).gradient(data, 0)
    ottt = core_of(case, credit="trace").gradient(data, 0)
    scale = np.abs(bptt[-2]).max()
    np.testing.assert_allclose(ottt[-1], bptt[-1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ottt[-2][:-1], bptt[-2][:-1], rtol=0, atol=1e-12 * scale)
    assert np.abs(ottt[-2][-1] - bptt[-2][-1]).max() > 1e-3 * scale
    if len(case["leaks"]) > 1:
        assert np.abs(ottt[0][:-1] - bptt[0][:-1]).max() > 1e-3 * np.abs(bptt[0]).max()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_all_rules_agree_on_a_single_step(case: dict[str, Any]) -> None:
    single = {**case, "events": case["events"][:1]}
    data = dataset_of(single)
    reference = core_of(single).gradient(data, 0)
    assert all(np.abs(gradient).max() > 1e-6 for gradient in reference)
    for changes in ({"credit": "trace"}, {"credit": "spike"}, {"reset_path": "detached"}, {"reset_path": "exact"}):
        for gradient, expected in zip(core_of(single, **changes).gradient(data, 0), reference, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-14, atol=0)
