"""Which weights does the golden core standardise, when, and what of it is counted (docs/semantics.md, section 3.8)?"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from golden_builders import (
    BELOW,
    HIDDEN,
    ONE_EVENT,
    READOUT,
    SILENT,
    conv_layer,
    draw_samples,
    draw_weights,
    make_spec,
    standardise_constant,
    standardising_spec,
    total,
)

from neurochip.errors import UserError
from neurochip.events import EventDataset
from neurochip.reference.core import GoldenCore, GoldenSample
from neurochip.reference.core.standardise import standardise_column
from neurochip.reference.engine import ReferenceEngine
from neurochip.spec import CoreSpec, LayerSpec
from neurochip.topology import Connection, ConvShape


class TestWhichWeights:
    def test_bias_gradients_velocities_and_registers_stay(self) -> None:
        # The same run twice, once standardised: what it may change is the weights of the hidden layer.
        hidden = replace(HIDDEN, n_in=3, n_out=4, bias=True, standardise_constant=standardise_constant(40, 3))
        settings: dict[str, Any] = {"update": "accumulate", "batch": 2, "weight_rounding": "stochastic"}
        spec = make_spec(
            hidden, replace(READOUT, n_in=4, bias=True), **settings, momentum_shift=2, standardise_every=1, n_steps=2
        )
        weights, samples = draw_weights(spec, seed=2), draw_samples(3, 2, seed=3, n_samples=2)
        cores = [GoldenCore(one, weights) for one in (spec, replace(spec, standardise_every=0))]
        # No end of epoch: after the first sample G is still there.
        runs = [core.run(samples[:1], learn=True, end_of_epoch=False) for core in cores]
        assert [run.n_standardisations for run in runs] == [1, 0]
        assert any(any(row) for row in cores[0].gradients[0])
        assert cores[0].gradients == cores[1].gradients
        assert cores[0].weights[0][:3] != cores[1].weights[0][:3] == weights[0][:3]
        assert cores[0].weights[0][3:] == cores[1].weights[0][3:]
        assert cores[0].weights[1] == cores[1].weights[1]
        # After the second it is applied: velocities stay as the apply left them, the bias moves with them alone.
        again = [GoldenCore(one, weights) for one in (replace(spec, standardise_every=2), spec)]
        again[1] = GoldenCore(replace(spec, standardise_every=0), weights)
        for core in again:
            core.run(samples, learn=True)
        assert any(any(row) for row in again[0].velocities[0])
        assert again[0].velocities == again[1].velocities
        assert again[0].registers == again[1].registers != GoldenCore(spec, weights).registers
        assert again[0].weights[0][:3] == bring_back(again[1].weights[0][:3], spec.layers[0])
        assert again[0].weights[0][3:] == again[1].weights[0][3:] != weights[0][3:]

    def test_a_convolution_has_columns_of_its_kernel_and_a_bias_per_group(self) -> None:
        shape = ConvShape(2, 2, 4, 4, 1, 2, groups=2)  # 8 rows of 2 columns, 2 bias rows
        layer = conv_layer(shape, bias=True, standardise_constant=standardise_constant(50, 8))
        spec = make_spec(layer, replace(READOUT, n_in=shape.n_out), standardise_every=1)
        kernel = [[3 * r, r * r] for r in range(8)] + [[5, 6], [7, -100]]
        core = GoldenCore(spec, [kernel, [[0, 0]] * (shape.n_out + 1)])
        core.run([SILENT], learn=True)
        assert core.weights[0][8:] == kernel[8:]
        # Column 0: S1 = 84, S2 = 1260, V = 3024, R = 54; 8 W - S1 = -84, -60, ... times 50 sqrt(7) / 8 / 54 = 0.3062.
        assert [row[0] for row in core.weights[0][:8]] == [-26, -18, -11, -4, 4, 11, 18, 26]
        assert core.weights[0][:8] == bring_back(kernel[:8], layer)

    def test_layers_that_are_not_standardised_or_do_not_learn_stay_and_readouts_may_be(self) -> None:
        fed = (Connection(0, 4),)
        standardised = {"standardise_constant": standardise_constant(60, 4)}
        layers = (
            replace(HIDDEN, n_out=4),
            replace(READOUT, n_in=4, inputs=fed, learns=False, **standardised),  # a frozen head
            replace(HIDDEN, n_in=4, n_out=4, inputs=fed, **standardised),
            replace(READOUT, n_in=4, **standardised),
        )
        spec = make_spec(*layers, standardise_every=1)
        weights = draw_weights(spec, seed=5)
        core = GoldenCore(spec, weights)
        result = core.run([SILENT], learn=True)
        changed = [before != after for before, after in zip(weights, core.weights, strict=True)]
        assert changed == [False, False, True, True]
        for index in (2, 3):
            assert core.weights[index][:4] == bring_back(weights[index][:4], layers[index])
        assert result.n_standardisations == 1  # of both layers


def bring_back(rows: list[list[int]], layer: LayerSpec) -> list[list[int]]:
    """Rows of weights whose columns are brought back; their values fit 8 bits in these tests."""
    columns = [
        standardise_column([row[j] for row in rows], layer.standardise_constant, layer.standardise_shift)
        for j in range(len(rows[0]))
    ]
    assert all(-128 <= w <= 127 for column in columns for w in column)
    return [list(row) for row in zip(*columns, strict=True)]


class TestWhen:
    """Three samples from one standardisation to the next, silent ones unless weights matter."""

    SPEC = standardising_spec(4, 1, 30, standardise_every=3)
    WEIGHTS = ([[9], [1], [-4], [3], [0]], [[0, 0]] * 2)

    def core(self, **changes: Any) -> GoldenCore:
        return GoldenCore(replace(self.SPEC, **changes), [*self.WEIGHTS])

    @pytest.mark.parametrize(
        ("n_samples", "every", "times"),
        [(1, 3, 1), (2, 3, 1), (3, 3, 1), (4, 3, 2), (6, 3, 2), (7, 3, 3), (5, 1, 5), (5, 9, 1)],
    )
    def test_after_every_third_and_at_the_end_of_an_epoch_if_one_came_since(
        self, n_samples: int, every: int, times: int
    ) -> None:
        assert self.core(standardise_every=every).run([SILENT] * n_samples, True).n_standardisations == times

    def test_samples_are_counted_over_runs_that_end_no_epoch(self) -> None:
        core = self.core()

        def run(n_samples: int, learn: bool = True, end_of_epoch: bool = False) -> int:
            return core.run([SILENT] * n_samples, learn, end_of_epoch).n_standardisations

        assert [run(1) for _ in range(7)] == [0, 0, 1, 0, 0, 1, 0]
        assert run(1) == 0
        assert run(2, learn=False) == 0  # neither counts nor is standardised
        assert run(2, learn=False, end_of_epoch=True) == 0
        assert run(1) == 1
        assert run(0, end_of_epoch=True) == 0  # none came since
        assert run(1) == 0
        assert run(0, end_of_epoch=True) == 1
        # A new epoch counts from 0.
        assert [run(1) for _ in range(4)] == [0, 0, 1, 0]

    def test_an_epoch_that_ends_early_starts_the_count_anew(self) -> None:
        core = self.core()
        assert core.run([SILENT] * 2, True).n_standardisations == 1
        assert [core.run([SILENT], True, end_of_epoch=False).n_standardisations for _ in range(3)] == [0, 0, 1]

    def test_without_learning_nothing_is_standardised(self) -> None:
        core = self.core()
        assert core.run([SILENT] * 4, learn=False).n_standardisations == 0
        assert core.weights == [*self.WEIGHTS]
        infer = self.core(credit="none", update="none")
        assert infer.run([SILENT] * 4, learn=True).n_standardisations == 0
        assert infer.weights == [*self.WEIGHTS]

    def test_the_next_sample_sees_the_new_weights(self) -> None:
        core = self.core()
        result = core.run([GoldenSample([[(0, 1)]], 0)] * 4, learn=True, end_of_epoch=False)
        # Without an error the weights are those given; K var = 4 * 29.583 and (9 - 2.25) 30 / sqrt(118.33) = 18.6.
        assert result.probes["potential/0"] == [[[9]]] * 3 + [[[19]]]

    @pytest.mark.parametrize("chunks", [(7,), (3, 4), (1, 5, 1), (1,) * 7])
    def test_runs_of_any_length_end_with_the_same_weights(self, chunks: tuple[int, ...]) -> None:
        spec = learning_spec(standardise_every=2)
        samples, weights = draw_samples(3, 2, seed=9, n_samples=7), draw_weights(spec, seed=8)
        whole, parts = GoldenCore(spec, weights), GoldenCore(spec, weights)
        expected = whole.run(samples, learn=True)
        starts = [sum(chunks[:i]) for i in range(len(chunks) + 1)]
        runs = [parts.run(samples[a:b], learn=True, end_of_epoch=b == 7) for a, b in pairwise(starts)]
        assert parts.weights == whole.weights != weights
        assert sum(run.n_standardisations for run in runs) == expected.n_standardisations == 4
        assert sum(total(run, "sat_weight", 0) for run in runs) == total(expected, "sat_weight", 0)


def learning_spec(**changes: Any) -> CoreSpec:
    """3 - 4 - 2, both layers standardised, in a rule that accumulates."""
    hidden = replace(HIDDEN, n_in=3, n_out=4, bias=True, standardise_constant=standardise_constant(40, 3))
    readout = replace(READOUT, n_in=4, bias=True, standardise_constant=standardise_constant(60, 4))
    settings = {"update": "accumulate", "n_steps": 2, "weight_rounding": "nearest"} | changes
    return make_spec(hidden, readout, **settings)


class TestAfterTheApplies:
    @pytest.mark.parametrize(
        ("batch", "n_samples", "every", "applies", "times"),
        [
            (1, 3, 3, 3, 1),
            (3, 3, 3, 1, 1),
            (2, 3, 3, 2, 1),  # the last batch holds one sample; the third sample ends the epoch: once, after its apply
            (2, 1, 9, 1, 1),
            (9, 2, 2, 1, 1),
        ],
    )
    def test_the_last_standardisation_of_an_epoch_comes_after_its_last_apply(
        self, batch: int, n_samples: int, every: int, applies: int, times: int
    ) -> None:
        spec = learning_spec(batch=batch, standardise_every=every)
        samples, weights = draw_samples(3, 2, seed=9, n_samples=n_samples), draw_weights(spec, seed=8)
        core, plain = (GoldenCore(one, weights) for one in (spec, replace(spec, standardise_every=0)))
        result = core.run(samples, learn=True)
        plain.run(samples, learn=True)
        assert plain.weights != weights
        assert (result.n_applies, result.n_standardisations) == (applies, times)
        for index, layer in enumerate(spec.layers):
            k = layer.n_weight_rows
            assert core.weights[index][:k] == bring_back(plain.weights[index][:k], layer)
            assert core.weights[index][k:] == plain.weights[index][k:]

    @pytest.mark.parametrize(
        "changes", [{"update": "immediate"}, {"apply_when": "deferred"}, {"credit": "unroll", "apply_when": "window"}]
    )
    def test_also_where_a_sample_applies_by_itself(self, changes: dict[str, Any]) -> None:
        spec = learning_spec(standardise_every=1, **({"apply_every": 2} | changes))
        samples, weights = draw_samples(3, 2, seed=9), draw_weights(spec, seed=8)
        core, plain = (GoldenCore(one, weights) for one in (spec, replace(spec, standardise_every=0)))
        core.run(samples, learn=True, end_of_epoch=False)
        plain.run(samples, learn=True, end_of_epoch=False)
        assert plain.weights != weights
        for index, layer in enumerate(spec.layers):
            k = layer.n_weight_rows
            assert core.weights[index][:k] == bring_back(plain.weights[index][:k], layer)


class TestRateBoost:
    # TestUpdate: W = 15, m_eta = 5, D or G = -4, S = S_G = 3, floor: 15 + (20 >> 3) = 17.
    @pytest.mark.parametrize("update", ["immediate", "accumulate"])
    @pytest.mark.parametrize(("boost", "weight"), [(0, 17), (2, 15 + (20 >> 1)), (3, 15 + 20), (-1, 16), (-2, 15)])
    def test_a_boosted_layer_learns_by_that_many_powers_of_two_faster(
        self, update: str, boost: int, weight: int
    ) -> None:
        core = GoldenCore(make_spec(replace(HIDDEN, rate_boost=boost), READOUT, update=update), BELOW)
        core.run([GoldenSample(ONE_EVENT, 0)], learn=True)
        assert core.weights[0][0] == [weight]

    @pytest.mark.parametrize("update", ["immediate", "accumulate"])
    def test_it_is_of_one_layer_alone(self, update: str) -> None:
        # u = 16 fires; W of the readout moves by 30 / 8 (see TestError), by 30 / 4 if that is boosted by 1.
        weights = [[[16], [0]], [[3, -5], [0, 0]]]
        for layers, readout in (
            ((replace(HIDDEN, rate_boost=1), READOUT), [(24 + 30) >> 3, (-40 - 30) >> 3]),
            ((HIDDEN, replace(READOUT, rate_boost=1)), [(12 + 30) >> 2, (-20 - 30) >> 2]),
        ):
            core = GoldenCore(make_spec(*layers, update=update), weights)
            core.run([GoldenSample(ONE_EVENT, 0)], learn=True)
            assert core.weights[1][0] == readout

    @pytest.mark.parametrize("update", ["immediate", "accumulate"])
    def test_no_shift_may_become_negative(self, update: str) -> None:
        with pytest.raises(UserError, match="shift"):
            GoldenCore(make_spec(replace(HIDDEN, rate_boost=4), READOUT, update=update), BELOW)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (replace(HIDDEN, standardise_constant=0), "no layer that learns has standardise = true"),
        (replace(HIDDEN, standardise_constant=7), "the mean of 1 weights"),
        (replace(HIDDEN, n_in=2, standardise_constant=1 << 62), "gain"),
    ],
)
def test_what_the_registers_cannot_hold_is_refused(layer: LayerSpec, named: str) -> None:
    spec = make_spec(layer, READOUT, standardise_every=1)
    with pytest.raises(UserError, match=named):
        GoldenCore(spec, draw_weights(spec, 0))


def test_the_reference_engine_reports_how_often() -> None:
    spec = learning_spec(standardise_every=2)
    weights = [np.array(rows) for rows in draw_weights(spec, seed=8)]
    offsets = np.arange(0, 2 * 3 + 1, dtype=np.int64)
    data = EventDataset(
        n_inputs=3,
        n_steps=2,
        step_offsets=offsets,
        addresses=np.array([0, 1, 2, 0, 1, 2], dtype=np.int32),
        magnitudes=np.ones(6, dtype=np.int32),
        labels=np.array([0, 1, 0], dtype=np.int32),
    )
    engine = ReferenceEngine(spec, weights)
    assert engine.run(data, np.arange(3), learn=True).activity.n_standardisations == 2
    assert engine.run(data, np.arange(3), learn=False).activity.n_standardisations == 0
    one_by_one = [engine.run(data, np.array([i]), learn=True, end_of_epoch=False).activity for i in (0, 1, 2)]
    assert [activity.n_standardisations for activity in one_by_one] == [0, 1, 0]
    assert one_by_one[0].plus(one_by_one[1]).n_standardisations == 1
