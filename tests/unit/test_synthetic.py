"""Do drawn bitmaps have the rates asked for, and do traces, carried errors and applies follow from them exactly?"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import synthetic_rules as made

from neurochip.activity import FIELD_INDEX
from neurochip.errors import UserError
from neurochip.spec import LEAK_CONSTANT, LEAK_NONE, LEAK_SHIFT, CoreSpec, LayerSpec
from neurochip.synthetic import CARRIED_ERROR_Q, Assumed, activity_of_drawing, draw_trace, trace_values


def leak(x: int, kind: str, value: int) -> int:
    """docs/semantics.md, section 2, in Python integers."""
    m = abs(x)
    if kind == LEAK_SHIFT:
        m -= (m + 2**value - 1) >> value
    elif kind == LEAK_CONSTANT:
        m = (m * value) >> 16
    else:
        m = 0
    return m if x >= 0 else -m


@pytest.mark.parametrize(("kind", "value"), [(LEAK_SHIFT, 1), (LEAK_SHIFT, 3), (LEAK_CONSTANT, 60000), (LEAK_NONE, 0)])
@pytest.mark.parametrize(("bits", "frac"), [(8, 6), (4, 3), (3, 5)])
def test_traces_are_those_of_the_integer_core(kind: str, value: int, bits: int, frac: int) -> None:
    layer: LayerSpec = dataclasses.replace(
        made.spec_of("ottt-o").layers[0], trace_leak_kind=kind, trace_leak_value=value, frac_trace=frac
    )
    events = np.random.default_rng(1).random((3, 12, 5)) < 0.3
    found = trace_values(events, layer, bits)
    for sample in range(3):
        for i in range(5):
            a = 0
            for t in range(12):
                a = min(leak(a, kind, value) + (int(events[sample, t, i]) << frac), 2**bits - 1)
                assert found[sample, t, i] == a


def test_one_event_stays_in_the_trace_until_the_leak_has_taken_it_to_0() -> None:
    layer = dataclasses.replace(made.spec_of("ottt-o").layers[0], frac_trace=5)
    events = np.zeros((1, 20, 1), dtype=np.bool_)
    events[0, 2] = True
    kept = np.flatnonzero(trace_values(events, layer, 8)[0, :, 0])
    assert list(kept) == list(range(2, 2 + 6))  # 32, 16, 8, 4, 2, 1


def test_drawn_fractions_are_those_asked_for() -> None:
    assumed = Assumed((0.07, 0.25), psi=0.35, signal_steps=0.5, signal=(0.6, 0.3))
    spec = made.spec_of("sltt-o", steps=40)
    bitmaps = draw_trace(assumed, spec, 60, 3).bitmaps
    assert bitmaps["event/0"].mean() == pytest.approx(0.07, abs=0.004)
    assert bitmaps["event/1"].mean() == pytest.approx(0.25, abs=0.01)
    assert bitmaps["psi/0"].mean() == pytest.approx(0.35, abs=0.01)
    assert bitmaps["signal/0"].mean() == pytest.approx(0.35 * 0.5 * 0.6, abs=0.01)
    assert bitmaps["signal/1"].mean() == pytest.approx(0.5 * 0.3, abs=0.02)
    assert not (bitmaps["signal/0"] & ~bitmaps["psi/0"]).any()
    silent = ~bitmaps["signal/1"].any(axis=-1) & ~bitmaps["signal/0"].any(axis=-1)
    assert silent.mean() == pytest.approx(0.5, abs=0.04)


def test_shares_per_step_are_drawn_in_their_step() -> None:
    assumed = Assumed(
        ((0.4, 0.0), (0.0, 0.3), (0.1, 0.1)), psi=((0.9,), (0.2,), (0.5,)), signal=((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)),
        signal_steps=1.0,
    )  # fmt: skip
    bitmaps = draw_trace(assumed, made.spec_of("sltt-o", steps=3), 300, 3).bitmaps
    for name, shares in (
        ("event/0", (0.4, 0.0, 0.1)), ("event/1", (0.0, 0.3, 0.1)), ("psi/0", (0.9, 0.2, 0.5)),
        ("signal/0", (0.9, 0.0, 0.25)), ("signal/1", (0.0, 1.0, 0.5)),
    ):  # fmt: skip
        assert bitmaps[name].mean(axis=(0, 2)) == pytest.approx(shares, abs=0.02), name


def test_as_many_samples_have_an_error_as_the_share_says_and_layers_have_it_in_the_same() -> None:
    assumed = Assumed((0.1, 0.1), psi=1.0, signal_steps=((0.25, 0.75), (0.0, 1.0)), signal=(1.0, 1.0))
    bitmaps = draw_trace(assumed, made.spec_of("sltt-o", steps=2), 8, 3).bitmaps
    hidden, readout = (bitmaps[f"signal/{index}"].any(axis=-1) for index in range(2))
    assert hidden.sum(axis=0).tolist() == [2, 0]
    assert readout.sum(axis=0).tolist() == [6, 8]
    assert not (hidden & ~readout).any()


def test_every_rule_sees_the_same_events_and_errors() -> None:
    drawn = {rule: draw_trace(made.ASSUMED, made.spec_of(rule), 4, 9).bitmaps for rule in made.RULES}
    other = draw_trace(made.ASSUMED, made.spec_of("ottt-o"), 4, 10).bitmaps
    for name in ("event/0", "event/1", "psi/0", "signal/1"):
        for rule in made.RULES[1:-1]:
            assert np.array_equal(drawn[rule][name], drawn["ottt-o"][name])
        assert not np.array_equal(other[name], drawn["ottt-o"][name])
    assert set(drawn["infer"]) == {"event/0", "event/1"}
    assert "trace/0" in drawn["ottt-o"]
    assert "trace/0" not in drawn["sltt-o"]


def test_a_carried_error_outlives_its_signal_by_what_the_leak_leaves() -> None:
    signal = draw_trace(made.ASSUMED, made.spec_of("ottt-o"), 6, 2).bitmaps["signal/0"]
    spec = made.spec_of("bptt-o")
    delta = draw_trace(made.ASSUMED, spec, 6, 2).bitmaps["signal/0"]
    layer = spec.layers[0]
    assert leak(CARRIED_ERROR_Q, layer.leak_kind, layer.leak_value) == 1  # carried by one step, then 0
    later = np.zeros_like(signal)
    later[:, :-1] = signal[:, 1:]
    assert delta[signal & ~later].all()  # nothing carried that could cancel it
    carried = later[:, :-1] & ~signal[:, :-1] & ~later[:, 1:]
    assert carried.any()
    assert delta[:, :-1][carried].all()
    assert not delta[~signal & ~later].any()
    assert delta.sum() > 1.4 * signal.sum()


def with_current(rule: str, **changes: Any) -> CoreSpec:
    """The hidden layer with a synaptic current, of leak 1 - 2^-1 unless `changes` says so."""
    spec = made.spec_of(rule)
    given: dict[str, Any] = {"current_leak_kind": LEAK_SHIFT, "current_leak_value": 1} | changes
    current = dataclasses.replace(spec.layers[0], **given)
    return dataclasses.replace(spec, layers=(current, *spec.layers[1:]))


def test_with_a_current_a_carried_error_lasts_as_long_as_both_leaks_let_it() -> None:
    """One error of 2 units: delta is 2, 1, 0, ...; epsilon 2, then 1 + 1 = 2, then 1, then 0."""
    assumed = Assumed((0.05, 0.2), psi=1.0, signal_steps=1.0, signal=(0.06, 0.4))
    starts, carried = (
        draw_trace(assumed, spec, 12, 2).bitmaps["signal/0"] for spec in (made.spec_of("ottt-o"), with_current("bptt"))
    )
    alone = np.argwhere(starts.sum(axis=1) == 1)
    assert len(alone) > 100
    for sample, neuron in alone:
        (step,) = np.flatnonzero(starts[sample, :, neuron])
        assert list(np.flatnonzero(carried[sample, :, neuron])) == list(range(max(0, int(step) - 2), int(step) + 1))


def test_a_longer_leak_of_the_current_leaves_more_signals_and_windows_end_them() -> None:
    shares = [
        draw_trace(made.ASSUMED, spec, 8, 2).bitmaps["signal/0"].mean()
        for spec in (
            made.spec_of("bptt"),
            with_current("bptt"),
            with_current("bptt", current_leak_kind=LEAK_CONSTANT, current_leak_value=65536),
        )
    ]
    assert shares[0] < shares[1] < shares[2]
    single = dataclasses.replace(with_current("bptt"), unroll_steps=1)
    without = dataclasses.replace(made.spec_of("bptt"), unroll_steps=1)
    ours, theirs = (draw_trace(made.ASSUMED, spec, 8, 2).bitmaps["signal/0"] for spec in (single, without))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("gate", [0, 9])
def test_the_traces_of_a_current_decay_by_both_leaks(gate: int) -> None:
    """f <- sat(current_leak(f) + event), a <- sat(leak(a) + f), as docs/semantics.md, section 3.3, has them."""
    filters = {"trace_leak_value": 2, "filter_leak_kind": LEAK_CONSTANT, "filter_leak_value": 40000}
    spec = dataclasses.replace(with_current("ottt-o", **filters), trace_gate=gate)
    layer, bitmaps = spec.layers[0], draw_trace(made.ASSUMED, spec, 3, 2).bitmaps
    highest = 2**spec.trace_bits - 1
    events = bitmaps["event/0"]
    for sample, address in np.ndindex(3, layer.n_in):
        f = a = 0
        for t in range(spec.n_steps):
            f = min(leak(f, LEAK_SHIFT, 2) + (int(events[sample, t, address]) << layer.frac_trace), highest)
            a = min(leak(a, LEAK_CONSTANT, 40000) + f, highest)
            assert bitmaps["trace/0"][sample, t, address] == (a != 0)
            if gate:
                assert bitmaps["presynaptic/0"][sample, t, address] == (a >= gate)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_apply_touches_what_its_batch_touched(batch: int) -> None:
    spec = dataclasses.replace(made.spec_of("ottt-a"), batch=batch)
    trace = draw_trace(made.ASSUMED, spec, 6, 5)
    activity = activity_of_drawing(trace, spec, 4, 4)
    assert activity.n_applies == 6 // batch
    products = words = 0
    for start in range(0, 6, batch):
        touched: set[tuple[int, int]] = set()
        for sample in range(start, start + batch):
            for t in range(spec.n_steps):
                rows = [*np.flatnonzero(trace.bitmaps["trace/0"][sample, t]), spec.layers[0].n_in]
                columns = np.flatnonzero(trace.bitmaps["signal/0"][sample, t])
                touched |= {(int(i), int(j)) for i in rows for j in columns}
        products += len(touched)
        words += len({(i, j // 4) for i, j in touched})
    assert activity.totals[-1, 0, FIELD_INDEX["update_products"]] == products
    assert activity.totals[-1, 0, FIELD_INDEX["update_words"]] == words
    immediate = made.spec_of("ottt-o")
    assert activity_of_drawing(draw_trace(made.ASSUMED, immediate, 6, 5), immediate, 4, 4).n_applies == 0


def test_a_gate_and_graded_events_have_bitmaps_of_their_own() -> None:
    spec = dataclasses.replace(made.spec_of("ottt-o"), trace_gate=9, event_bits=3)
    trace = draw_trace(made.ASSUMED, spec, 4, 5)
    values = trace_values(trace.bitmaps["event/0"], spec.layers[0], spec.trace_bits)
    assert np.array_equal(trace.bitmaps["presynaptic/0"], values >= 9)
    assert trace.bitmaps["presynaptic/0"].sum() < trace.bitmaps["trace/0"].sum()
    activity = activity_of_drawing(trace, spec, 4, 4)
    assert activity.per_layer("graded_events") == [0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": (1.5, 0.1)}, "--rate is 1.5"),
        ({"psi": -0.1}, "--psi is -0.1"),
        ({"signal_steps": 2.0}, "--signal-steps is 2"),
        ({"signal": (0.5, 7.0)}, "--signal is 7"),
        ({"rate": ((0.5, 0.1), (0.5, 1.1))}, "--rate is 1.1"),
    ],
)
def test_what_is_no_fraction_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        dataclasses.replace(made.ASSUMED, **change).check()


def test_every_hidden_layer_can_have_shares_of_its_own() -> None:
    assumed = Assumed((0.2, 0.2, 0.2), psi=(0.1, 0.9), signal_steps=1.0, signal=(0.8, 0.3, 0.5))
    one = made.spec_of("ottt-o")
    hidden, readout = one.layers
    spec = dataclasses.replace(one, layers=(hidden, dataclasses.replace(hidden, n_in=hidden.n_out), readout))
    bitmaps = draw_trace(assumed, spec, 60, 3).bitmaps
    for index, (psi, signal) in enumerate(((0.1, 0.8), (0.9, 0.3))):
        assert bitmaps[f"psi/{index}"].mean() == pytest.approx(psi, abs=0.02)
        assert bitmaps[f"signal/{index}"].mean() == pytest.approx(psi * signal, abs=0.02)
    assert bitmaps["signal/2"].mean() == pytest.approx(0.5, abs=0.03)
