"""The search: what optuna is asked for and told, on points whose results are made up."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from neurochip.sweep.axes import SEED, Settings
from neurochip.sweep.point import Computed
from neurochip.sweep.request import SweepRequest, parse_request
from neurochip.sweep.run import SweepPoint
from neurochip.sweep.search import search

optuna = pytest.importorskip("optuna")
BITS, ROUNDING = "precision.weight.bits", "precision.weight.rounding"
AXES = (f"{BITS}=3:12", f"{ROUNDING}=floor,nearest,stochastic")


class MadeUp:
    """A sweep whose accuracy grows with the bits and falls with the seed, and whose energy grows with the bits."""

    def __init__(self, area_mm2: float | None = 2.0, failing_bits: int = 0) -> None:
        self.base = SimpleNamespace(run=SimpleNamespace(seed=5))
        self.asked: list[list[Settings]] = []
        self._area_mm2, self._failing_bits = area_mm2, failing_bits

    def evaluate(self, settings: Sequence[Settings]) -> list[SweepPoint]:
        """Points in the order of their settings."""
        self.asked.append(list(settings))
        return [SweepPoint(one, repr(one), self._computed(one)) for one in settings]

    def _computed(self, one: Settings) -> Computed:
        bits, seed = one[BITS], one[SEED]
        if bits == self._failing_bits:
            return Computed(error="made up")
        accuracy = {"test": bits / 20 - seed / 100}
        return Computed(result={"accuracy": accuracy, "energy_pj": 10.0 * bits + seed, "area_mm2": self._area_mm2})


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The studies that are made."""
    made: list[Any] = []
    create = optuna.create_study

    def remember(**words: Any) -> Any:
        made.append(create(**words))
        return made[-1]

    monkeypatch.setattr(optuna, "create_study", remember)
    return made


def run(sweep: MadeUp, n_points: int, seeds: str | None = "1,3", axes: tuple[str, ...] = AXES, draw: int = 1) -> Any:
    request: SweepRequest = parse_request(axes, "optuna", seeds, n_points, draw)
    stand_in: Any = sweep  # for a Sweep, of which the search takes only `base` and `evaluate`
    return search(stand_in, request)


@pytest.mark.filterwarnings("default")
def test_points_are_asked_for_in_generations_of_eight_each_at_every_seed(studies: list[Any]) -> None:
    sweep = MadeUp()
    found = run(sweep, 19)
    assert [len(asked) for asked in sweep.asked] == [16, 16, 6]
    asked = [one for generation in sweep.asked for one in generation]
    assert [one[SEED] for one in asked] == [1, 3] * 19
    assert all(first[BITS] == second[BITS] for first, second in zip(asked[::2], asked[1::2], strict=True))
    once = list({repr(one): one for one in asked}.values())
    assert len(once) < len(asked)  # 30 settings: some were asked for again
    assert [point.settings for point in found] == once
    assert len(studies[0].trials) == 19


@pytest.mark.filterwarnings("default")
def test_objectives_are_means_over_the_seeds(studies: list[Any]) -> None:
    run(MadeUp(), 8)
    (study,) = studies
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert [trial.number for trial in study.trials] == list(range(8))
    for trial in study.trials:
        bits = trial.params[BITS]
        assert trial.values == pytest.approx([bits / 20 - 0.02, 10 * bits + 2, 2.0])


@pytest.mark.filterwarnings("default")
def test_a_setting_with_a_failed_point_is_told_as_failed_and_others_go_on(studies: list[Any]) -> None:
    found = run(MadeUp(failing_bits=7), 40)
    states = {trial.params[BITS]: trial.state.name for trial in studies[0].trials}
    assert 7 in states
    assert {bits for bits, state in states.items() if state == "FAIL"} == {7}
    assert any(point.computed.error for point in found)


@pytest.mark.filterwarnings("default")
def test_a_chip_without_areas_is_searched_by_the_other_two(studies: list[Any]) -> None:
    run(MadeUp(area_mm2=None), 3)
    assert [trial.values[2] for trial in studies[0].trials] == [0.0] * 3


@pytest.mark.filterwarnings("default")
def test_without_seeds_that_of_the_experiment_is_used() -> None:
    sweep = MadeUp()
    run(sweep, 2, seeds=None)
    assert [one[SEED] for one in sweep.asked[0]] == [5, 5]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("3:12", "IntDistribution"),
        ("2:16:2", "IntDistribution"),
        ("4,6,9", "CategoricalDistribution"),
        ("8,6,4", "CategoricalDistribution"),
        ("8", "CategoricalDistribution"),
    ],
)
def test_only_whole_numbers_at_equal_distances_keep_their_order(values: str, kind: str, studies: list[Any]) -> None:
    sweep = MadeUp()
    run(sweep, 12, axes=(f"{BITS}={values}",))
    assert {type(trial.distributions[BITS]).__name__ for trial in studies[0].trials} == {kind}
    allowed = set(parse_request((f"{BITS}={values}",)).axes[0].values)
    assert {one[BITS] for asked in sweep.asked for one in asked} <= allowed


@pytest.mark.filterwarnings("default")
def test_the_draw_decides_what_is_asked_for() -> None:
    one, same, other = MadeUp(), MadeUp(), MadeUp()
    for sweep, draw in ((one, 1), (same, 1), (other, 2)):
        run(sweep, 20, draw=draw)
    assert one.asked == same.asked
    assert one.asked != other.asked
