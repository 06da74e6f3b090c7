"""Is a step of ReckOn what its published Verilog spends, and is a network replayed step by step on it?"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from reckon_walker import walk

from neurochip.activity import N_FIELDS, Activity, SampleTrace
from neurochip.chip import load_chip
from neurochip.counters import PHASES, totals
from neurochip.errors import UserError
from neurochip.microarch import Gates, microarchitecture
from neurochip.microarch.interface import ALL_GATES
from neurochip.microarch.reckon import LEARNING, MEMORIES, step_cost
from neurochip.microarch.reckon_count import Step, count, step_counts
from neurochip.spec import LEAK_NONE, LEAK_SHIFT, CoreSpec, LayerSpec

CHIP = load_chip("reckon-28nm")

# ---- one step ---------------------------------------------------------------------------------------------------

# Simulated (iverilog 11): shape, inputs, spikes, learning, nonzero traces -> cycles, accesses.
ROWS = [
    ((40, 100, 2), range(5), (), "none", (0, 0, 0), (100, 1, 100, 500, 0, 0), (300, 300, 35, 0, 0, 0, 0, 0)),
    ((40, 100, 2), range(5), range(3, 44), "none", (0, 0, 0), (100, 1, 100, 4400, 0, 0),
     (2250, 2250, 35, 0, 287, 0, 41, 0)),
    ((40, 100, 2), range(5), range(1, 69), "all", (24, 93, 93), (100, 1, 100, 6900, 0, 1624),
     (3900, 3500, 315, 168, 1176, 651, 168, 93)),
    ((256, 256, 16), range(20), (), "none", (0, 0, 0), (256, 1, 256, 5120, 0, 0), (2688, 2688, 320, 0, 0, 0, 0, 0)),
    ((256, 256, 16), range(4), (), "all", (0, 0, 0), (256, 1, 256, 1024, 0, 8704),
     (2816, 640, 4160, 0, 4096, 0, 256, 0)),
]  # fmt: skip
KEYS = tuple(f"{memory}_{kind}" for memory in MEMORIES for kind in ("read", "write"))


@pytest.mark.parametrize(("shape", "inputs", "spikes", "learning", "nonzero", "cycles", "accesses"), ROWS)
def test_simulated_steps_are_reproduced(
    shape: tuple[int, int, int],
    inputs: Iterable[int],
    spikes: Iterable[int],
    learning: str,
    nonzero: tuple[int, int, int],
    cycles: tuple[int, ...],
    accesses: tuple[int, ...],
) -> None:
    cost = step_cost(*shape, inputs, spikes, learning, *nonzero)
    assert dict(cost.cycles) == dict(zip(("STEP", "SDONE", "CNT", "EVT", "SUPP", "EPROP"), cycles, strict=True))
    assert dict(cost.accesses) == dict(zip(KEYS, accesses, strict=True))
    assert cost.total_cycles == sum(cycles)


def test_closed_form_is_the_walk_of_the_state_machines() -> None:
    draw = random.Random(28)
    seen = set()
    for _ in range(150):
        n_in, n_rec, n_out = draw.randint(1, 70), draw.randint(1, 70), draw.randint(1, 16)
        learning, traces = draw.choice(LEARNING), draw.random() < 0.5
        traces = traces or learning == "all"

        def some(size: int, share: float = draw.random()) -> set[int]:
            return {index for index in range(size) if draw.random() < share}

        inputs, spikes = some(n_in), some(n_rec)
        nonzero = {"input": some(n_in), "recurrent": some(n_rec), "output": some(n_rec)}
        cost = step_cost(
            *(n_in, n_rec, n_out, inputs, spikes, learning),
            *(len(nonzero[name]) for name in ("input", "recurrent", "output")),
            input_traces=traces,
        )
        cycles, accesses = walk(n_in, n_rec, n_out, inputs, spikes, learning, nonzero, traces)
        assert {key: number for key, number in cost.cycles.items() if number} == {k: v for k, v in cycles.items() if v}
        widest, blocks = max(n_in, n_rec), -(-n_rec // 16)
        # Where the formulas are known to differ from the machines: docs/silicon.md.
        accesses["neuron_read"] += -(-widest // 2) - -(-max(widest, n_out) // 2)
        accesses["neuron_write"] += -(-widest // 2) - max(widest, n_out) // 2
        if learning == "all":
            accesses["neuron_read"] += -(-n_rec // 2) - min(8 * blocks, -(-widest // 2))
        assert {key: number for key, number in cost.accesses.items() if number} == {
            key: number for key, number in accesses.items() if number
        }
        seen |= {learning, f"{n_in > n_rec}", f"odd {n_rec % 2}", f"supp {cost.cycles['SUPP'] > 0}"}
        seen |= {f"short block {learning == 'all' and n_in > n_rec and n_rec % 16 > 0}", f"out {n_out > n_in > n_rec}"}
    assert seen >= {*LEARNING, "True", "False", "odd 0", "odd 1", "supp True", "short block True"}


def test_a_neuron_that_is_input_and_spikes_is_served_once() -> None:
    apart, together = step_cost(64, 64, 4, [3], [4]), step_cost(64, 64, 4, [3], [3])
    assert apart.cycles["EVT"] == 2 * together.cycles["EVT"] == 2 * 64
    assert apart.sops == together.sops == 2 * 64
    assert apart.accesses["w_in_read"] == together.accesses["w_in_read"] == 4


def test_an_input_beyond_the_neurons_needs_a_pass_and_a_trace_write() -> None:
    below, beyond = step_cost(100, 40, 2, [39], []), step_cost(100, 40, 2, [40], [])
    assert (below.cycles["SUPP"], beyond.cycles["SUPP"]) == (0, 2)
    assert below.cycles["EVT"] == beyond.cycles["EVT"] == 40
    assert beyond.accesses["neuron_read"] - below.accesses["neuron_read"] == 1
    assert beyond.accesses["neuron_write"] - below.accesses["neuron_write"] == 1
    assert below.accesses["w_in_read"] == beyond.accesses["w_in_read"] == 3
    assert step_cost(100, 40, 2, [40], [], input_traces=False).cycles["SUPP"] == 0


def test_an_index_named_twice_is_one_event() -> None:
    assert step_cost(8, 8, 1, [1, 1, 2], []) == step_cost(8, 8, 1, (2, 1), [])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_in": 257}, "n_in of a ReckOn step is 257; allowed are whole numbers from 1 to 256"),
        ({"n_rec": 0}, "n_rec of a ReckOn step is 0; allowed are whole numbers from 1 to 256"),
        ({"n_out": 17}, "n_out of a ReckOn step is 17; allowed are whole numbers from 1 to 16"),
        ({"input_indices": [40]}, "input_indices: an index of a ReckOn step is 40; .* from 0 to 39"),
        ({"recurrent_indices": [-1]}, "recurrent_indices: an index of a ReckOn step is -1; .* from 0 to 99"),
        ({"learning": "input"}, "learning of a ReckOn step is 'input'; allowed are none, all, output"),
        ({"nonzero_input_traces": 41}, "nonzero_input_traces of a ReckOn step is 41; .* from 0 to 40"),
        ({"nonzero_output_traces": 101}, "nonzero_output_traces of a ReckOn step is 101; .* from 0 to 100"),
        ({"nonzero_recurrent_traces": 0.5}, "nonzero_recurrent_traces of a ReckOn step is 0.5"),
        ({"learning": "all", "input_traces": False}, "input_traces is false"),
    ],
)
def test_what_the_chip_has_not_is_refused(change: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"n_in": 40, "n_rec": 100, "n_out": 2, "input_indices": [], "recurrent_indices": []}
    with pytest.raises(UserError, match=sentence):
        step_cost(**arguments | change)


# ---- a network --------------------------------------------------------------------------------------------------


def layer(kind: str, n_in: int, n_out: int, **changes: Any) -> LayerSpec:
    hidden = kind == "dense"
    values: dict[str, Any] = {
        **{"kind": kind, "n_in": n_in, "n_out": n_out, "bias": False, "leak_kind": LEAK_SHIFT if hidden else LEAK_NONE},
        **{"leak_value": 1 if hidden else 0, "threshold_q": 16 if hidden else 0, "reset": "subtract"},
        **{"keeps_trace": True, "trace_leak_kind": LEAK_SHIFT, "trace_leak_value": 1, "frac_weight": 4},
        **{"frac_potential": 8, "frac_trace": 4, "frac_error": 6, "frac_gradient": 8},
    }
    return LayerSpec(**values | changes)


SPEC = CoreSpec(
    layers=(layer("dense", 40, 20), layer("readout", 20, 3)),
    **{"n_steps": 3, "event_bits": 1, "weight_bits": 8, "weight_rounding": "stochastic", "membrane_bits": 16},
    **{"trace_bits": 8, "trace_gate": 0, "error_bits": 8, "error_rounding": "nearest", "delta_bits": 12},
    **{"surrogate_bits": 4, "surrogate": "sigmoid", "gradient_bits": 24, "readout_bits": 24, "credit": "trace"},
    **{"update": "immediate", "batch": 1, "rate_multiplier": 1, "rate_shift": 4, "mse_share_q": 0},
    **{"deliver": "synapse", "reset_path": "detached", "rng_lanes": 16, "seed": 1},
    **{"synapse_lanes": 16, "trace_lanes": 2},
)

HIDDEN, READOUT = SPEC.layers


def activity(learning: bool = True) -> Activity:
    totals_ = np.zeros((SPEC.n_steps + 1, 2, N_FIELDS), dtype=np.int64)
    return Activity(totals_, n_samples=1, n_applies=0, learning=learning, synapse_lanes=16, trace_lanes=2)


def trace(n_samples: int = 2) -> SampleTrace:
    rng = np.random.default_rng(5)
    widths = {"event/0": 40, "event/1": 20, "trace/0": 40, "trace/1": 20, "psi/0": 20}
    shapes = {name: (n_samples, SPEC.n_steps, width) for name, width in widths.items()}
    return SampleTrace(np.arange(n_samples), {name: rng.random(shape) < 0.3 for name, shape in shapes.items()})


def test_a_readout_without_traces_learns_where_spikes_are() -> None:
    spec = replace(SPEC, layers=(HIDDEN, replace(READOUT, keeps_trace=False)))
    recorded = trace(1)
    bitmaps = {name: bits for name, bits in recorded.bitmaps.items() if name != "trace/1"}
    counted = count(activity(), spec, CHIP, ALL_GATES, SampleTrace(recorded.sample_indices, bitmaps))
    written = {(c.key, c.layer): c.number for c in counted.counts}
    assert written["synapse_write", 1] == bitmaps["event/1"].sum()
    assert written["synapse_write", 0] == 2 * bitmaps["trace/0"].sum()


@pytest.mark.parametrize("learning", [True, False])
def test_a_sample_takes_one_step_more_than_it_has_and_spikes_are_served_a_step_later(learning: bool) -> None:
    recorded = trace()
    bits = recorded.bitmaps
    cycles, words = 0, dict.fromkeys(KEYS, 0)
    for sample in range(2):
        for k in range(SPEC.n_steps + 1):
            inputs = np.flatnonzero(bits["event/0"][sample, k]) if k < SPEC.n_steps else ()
            spikes = np.flatnonzero(bits["event/1"][sample, k - 1]) if k else ()
            pass_ = "all" if learning and k else "none"
            nonzero = (
                (bits["trace/0"][sample, k - 1].sum(), 0, bits["trace/1"][sample, k - 1].sum()) if k else (0, 0, 0)
            )
            cost = step_cost(40, 20, 3, inputs, spikes, pass_, *nonzero, input_traces=learning)
            cycles += cost.total_cycles
            for key in KEYS:
                words[key] += cost.accesses[key]
            if pass_ == "all":  # recurrent weights do not learn
                words["w_rec_read"] -= 20 * 2
    counted = count(replace(activity(learning), n_samples=2), SPEC, CHIP, ALL_GATES, recorded)
    found = totals(counted.counts)
    assert counted.cycles == cycles == sum(counted.cycles_by_phase.values())
    assert found["neuron_read"] == words["neuron_read"]
    assert found["neuron_write"] == words["neuron_write"]
    assert found["synapse_read"] == words["w_in_read"] + words["w_rec_read"] + words["w_out_read"]
    assert found["synapse_write"] == words["w_in_write"] + words["w_out_write"]
    assert found["ac"] == 20 * (bits["event/0"].sum() + bits["event/1"].sum()) + 3 * bits["event/1"].sum()
    assert {count_.phase for count_ in counted.counts} <= set(PHASES)


def test_the_multipliers_of_a_pass_follow_nonzero_traces_and_surrogates() -> None:
    step = Step(40, 20, 3, (), (), True, True, nonzero_inputs=7, nonzero_outputs=5, nonzero_surrogates=11)
    numbers = {(c.key, c.phase, c.widths_bits): c.number for c in step_counts(step).counts}
    assert numbers["mul", "update", (16, 12)] == numbers["mul", "update", (28, 5)] == 7 * 11
    assert numbers["mul", "update", (16, 10)] == 5 * 3
    assert numbers["mac", "error", (16, 8, 28)] == 20 * 3
    assert numbers["mul", "fire", (16, 17)] == 2 * 20  # potentials of 20 words
    assert numbers["mul", "trace", (12, 16)] == 2 * 2 * 20
    assert numbers["mul", "trace", (10, 8)] == 2 * 20
    with_recurrent = totals(step_counts(replace(step, nonzero_recurrents=4)).counts)
    assert with_recurrent["synapse_read"] - totals(step_counts(step).counts)["synapse_read"] == 20 * 2
    assert with_recurrent["synapse_write"] - totals(step_counts(step).counts)["synapse_write"] == 4 * 2


def test_it_is_a_registered_microarchitecture() -> None:
    assert microarchitecture("reckon").count is count
    assert microarchitecture(CHIP.microarchitecture).count is count


def refused(spec: CoreSpec = SPEC, **changes: Any) -> str:
    given: dict[str, Any] = {"chip": CHIP, "gates": ALL_GATES, "trace": trace()} | changes
    with pytest.raises(UserError) as error:
        count(activity(), spec, **given)
    return str(error.value)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ((replace(HIDDEN, n_in=512), READOUT), "it has 512 inputs; ReckOn has 256"),
        ((replace(HIDDEN, n_out=300), READOUT), "it has 300 hidden neurons; ReckOn has 256"),
        ((HIDDEN, replace(READOUT, n_out=17)), "it has 17 classes; ReckOn has 16"),
        ((HIDDEN, HIDDEN, READOUT), "it has 2 hidden layers; ReckOn has 1, and a readout"),
        ((HIDDEN, replace(READOUT, bias=True)), "it has biases; ReckOn has none (set bias = false in every layer of "
         "network.layers)"),
    ],
)  # fmt: skip
def test_a_network_it_cannot_hold_is_refused_with_the_reason(layers: tuple[LayerSpec, ...], reason: str) -> None:
    assert refused(replace(SPEC, layers=layers)) == f"chip reckon-28nm cannot run this network: {reason}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weight_bits": 12}, "precision.weight.bits is 12; ReckOn has 8"),
        ({"membrane_bits": 24}, "precision.membrane.bits is 24; ReckOn has 16"),
        ({"event_bits": 4}, "its events have 4 bits"),
        ({"credit": "unroll"}, "temporal credit unroll"),
        ({"update": "accumulate"}, "update accumulate"),
        ({"trace_bits": 12}, "precision.trace.bits is 12; the narrowest trace of ReckOn has 10"),
        ({"trace_gate": 1}, "trace.gate is 1"),
    ],
)
def test_formats_and_rules_it_lacks_are_refused(changes: dict[str, Any], words: str) -> None:
    assert words in refused(replace(SPEC, **changes))


def test_inference_needs_no_rule_and_no_traces() -> None:
    spec = replace(SPEC, credit="none", update="none", trace_bits=16)
    recorded = trace()
    events = {name: recorded.bitmaps[name] for name in ("event/0", "event/1")}
    found = count(activity(False), spec, CHIP, ALL_GATES, SampleTrace(recorded.sample_indices, events))
    assert found.cycles_by_phase["update"] == found.cycles_by_phase["trace"] == 0


def test_missing_or_misshapen_recordings_gates_and_chips_are_refused() -> None:
    recorded = trace()
    assert "run.activity_samples" in refused(trace=None)
    lacking = {name: bits for name, bits in recorded.bitmaps.items() if name != "psi/0"}
    assert "no bitmap psi/0" in refused(trace=SampleTrace(recorded.sample_indices, lacking))
    cut = recorded.bitmaps | {"event/0": recorded.bitmaps["event/0"][:, :, :39]}
    assert "(2, 3, 39), not (2, 3, 40)" in refused(trace=SampleTrace(recorded.sample_indices, cut))
    assert "gates cannot be switched" in refused(gates=Gates(zero_trace=False))
    assert "lanes of chip reckon-28nm is 8" in refused(chip=CHIP.model_copy(update={"lanes": 8}))
    memories = {**CHIP.memories, "neuron": CHIP.memories["neuron"].model_copy(update={"bank_words": 64})}
    assert "memories.neuron of chip reckon-28nm has 64 words" in refused(
        chip=CHIP.model_copy(update={"memories": memories})
    )


def test_samples_that_were_not_recorded_count_like_those_that_were() -> None:
    recorded = trace()
    two, six = (count(replace(activity(), n_samples=n), SPEC, CHIP, ALL_GATES, recorded) for n in (2, 6))
    assert six.cycles == pytest.approx(3 * two.cycles)
    assert [item.number for item in six.counts] == pytest.approx([3 * item.number for item in two.counts])
    assert two.sampled is None
    assert six.sampled is not None
    assert (six.sampled.n_recorded, six.sampled.n_samples) == (2, 6)
    assert 0 < six.sampled.half_width_cycles < 20 * six.cycles
