"""`neurochip precision`: what it prints and writes, how it continues, and how it refuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Command, environment

BITS = "precision.weight.bits"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_prints_a_line_per_setting_and_writes_a_row_per_point(call: Command, small: Path, folder: Path) -> None:
    words = (small, "--sweep", f"{BITS}=4,6", "--seeds", "1:2", "--workers", "1", "--quiet", "--out", "sweep")
    done = call("precision", *words)
    assert (done.code, done.err) == (0, "")
    rows = rows_of(folder / "sweep")
    assert [(row[BITS], row["seed"]) for row in rows] == [("4", "1"), ("4", "2"), ("6", "1"), ("6", "2")]
    lines = done.out.splitlines()
    assert lines[0].split() == ["weight.bits", "test", "%", "lowest", "highest", "nJ", "µs", "mm²", "kbit"]
    percent = [100 * float(row["accuracy_test"]) for row in rows[:2]]
    energy = sum(float(row["energy_pj"]) for row in rows[:2]) / 2e3
    shown = lines[1].split()
    assert shown[:4] == ["4", f"{sum(percent) / 2:.1f}", f"{min(percent):.1f}", f"{max(percent):.1f}"]
    assert shown[4] == f"{energy:.4g}"
    assert len(list((folder / "sweep" / "points").iterdir())) == 4
    text = " ".join(done.out.split())
    assert "best: weight.bits = " in text and "cheapest within 1 point: " in text
    assert "knee of the front: none: the front has " in text


def test_it_writes_plots_and_a_page_that_names_the_command(start: Command, small: Path, folder: Path) -> None:
    words = ("precision", "small.toml", "--sweep", f"{BITS}=4,6", "--sweep", "precision.weight.rounding=floor,nearest")
    done = start(*words, "--workers", "1", "--out", "sweep")
    assert done.code == 0
    assert done.err.rstrip().endswith("sweep: sweep/sweep.html")
    found = {path.name for path in (folder / "sweep").iterdir()}
    plots = {f"{name}.{ending}" for name in ("accuracy", "pareto", "heatmap") for ending in ("svg", "png")}
    assert found - {"sweep.parquet"} == {"points", "sweep.csv", "sweep.html", *plots}
    page = (folder / "sweep" / "sweep.html").read_text(encoding="utf-8")
    assert " ".join(("<code>neurochip", *words, "--workers 1 --out sweep</code>")) in page


def test_json_holds_the_rows_and_a_rerun_has_the_same_bytes(call: Command, small: Path, folder: Path) -> None:
    words = ("precision", small, "--sweep", f"{BITS}=4,6", "--workers", "1", "--json", "--quiet")
    first = call(*words)
    assert first.code == 0
    document = json.loads(first.out)
    assert document["schema"] == "neurochip-sweep/1"
    assert [row[BITS] for row in document["rows"]] == [4, 6]
    table = (folder / "sweeps" / "digits-dvs" / "sweep.csv").read_bytes()
    assert call(*words) == first
    assert (folder / "sweeps" / "digits-dvs" / "sweep.csv").read_bytes() == table


def test_progress_says_what_is_known_and_what_is_computed(start: Command, small: Path) -> None:
    words = ("precision", small, "--workers", "1", "--json", "--set", "task.classes=[0, 1]", "--out", "sweep")
    assert start(*words, "--sweep", f"{BITS}=4").code == 0
    done = start(*words, "--sweep", f"{BITS}=4,5", "--sweep", "chip.gate_zero_error=true,false")
    assert done.code == 0
    assert "4 points: 1 known, 3 to compute in 2 simulations" in done.err
    assert "points: 4/4" in done.err


def test_one_at_a_time_and_random_have_their_points(call: Command, small: Path, folder: Path) -> None:
    axes = ("--sweep", f"{BITS}=6,8", "--sweep", "precision.trace.bits=4,8")
    common = ("precision", small, *axes, "--workers", "1", "--quiet", "--out", "sweep")
    assert call(*common, "--method", "one-at-a-time").code == 0
    rows = rows_of(folder / "sweep")
    assert [(row[BITS], row["precision.trace.bits"]) for row in rows] == [("8", "8"), ("6", "8"), ("8", "4")]
    assert call(*common, "--method", "random", "--points", "2").code == 0
    assert len(rows_of(folder / "sweep")) == 2


def test_from_float_shows_a_line_per_quantiser(
    call: Command, small: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    words = ("--method", "one-at-a-time", "--from", "float", "--workers", "1", "--quiet", "--out", "sweep")
    done = call("precision", small, *words)
    assert (done.code, done.err) == (0, "")
    signals = ("weight", "membrane", "surrogate", "trace", "error", "readout")
    rows = rows_of(folder / "sweep")
    assert [(row["precision.arithmetic"], row["precision.quantisers"]) for row in rows] == [
        ("float", "[]"), *(("float", f'["{name}"]') for name in signals), ("fixed", ""),
    ]  # fmt: skip
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0][:3] == ["arithmetic", "quantisers", "test"]
    words_of = ("none", *signals, "-")
    for line, row, word in zip(lines[1:9], rows, words_of, strict=True):
        assert line[:3] == [row["precision.arithmetic"], word, f"{100 * float(row['accuracy_test']):.1f}"]


def test_a_failed_point_is_shown_and_the_others_are_computed(call: Command, small: Path, folder: Path) -> None:
    done = call("precision", small, "--sweep", f"{BITS}=6,99", "--workers", "1", "--quiet", "--out", "sweep")
    assert done.code == 0
    assert "failed: --sweep: precision.weight.bits = 99" in " ".join(done.out.split())
    assert [row["error"] == "" for row in rows_of(folder / "sweep")] == [True, False]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--sweep is missing"),
        (("--sweep", "precision.weight.bit=4"), "--sweep precision.weight.bit: precision.weight.bit"),
        (("--sweep", f"{BITS}=40:50"), f"--sweep {BITS}: {BITS} = 40"),
        (("--sweep", f"{BITS}=4", "--workers", "0"), "--workers 0: is not allowed"),
        (("--sweep", f"{BITS}=4", "--workers", "2", "--scheduler", "tcp://a:1"), "cannot be given with --scheduler"),
        (("--sweep", f"{BITS}=4", "--out", "."), "--out .: holds no sweep"),
        (("--sweep", f"{BITS}=4", "--set", "run.tune=true"), "run.tune = true is not allowed in a sweep"),
        (("--sweep", "chip.name=nothing"), "chip 'nothing' is unknown"),
        (("--from", "float"), "--from float: is not allowed with --method grid"),
        (("--sweep", "learning.batch=2,3"), "none of 2 points could be computed, the first because of this: learning"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(
    words: tuple[str, ...], sentence: str, call: Command, small: Path
) -> None:
    workers = () if "--workers" in words or "--scheduler" in words else ("--workers", "1")
    assert sentence in call("precision", small, *words, *workers, "--quiet").sentence()


def test_ctrl_c_keeps_what_is_done(small: Path, folder: Path) -> None:
    line = [sys.executable, "-m", "neurochip", "precision", str(small), "--sweep", "run.seed=1:200", "--out", "sweep"]
    process = subprocess.Popen(
        [*line, "--workers", "2"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 300  # kernels may have to be compiled
        while not list((folder / "sweep").glob("points/*.json")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, ""), err
    assert "neurochip: interrupted; the same command continues with the points that are missing" in err
    assert "Traceback" not in err, err
    assert 1 <= len(list((folder / "sweep").glob("points/*.json"))) < 200
    assert not list((folder / "sweep").glob("points/.*"))


SEARCH = ("--sweep", f"{BITS}=4:8", "--sweep", "precision.weight.rounding=floor,stochastic", "--method", "optuna")


@pytest.mark.filterwarnings("default")
def test_a_search_is_the_same_from_the_same_seed(call: Command, small: Path, folder: Path) -> None:
    words = ("precision", small, *SEARCH, "--points", "10", "--seeds", "1,2", "--workers", "1", "--quiet")
    for out in ("one", "two", "one"):
        assert call(*words, "--out", out).code == 0
    table = (folder / "one" / "sweep.csv").read_bytes()
    assert table == (folder / "two" / "sweep.csv").read_bytes()
    rows = rows_of(folder / "one")
    points = {(row[BITS], row["precision.weight.rounding"]) for row in rows}
    assert len(rows) == 2 * len(points)
    assert 2 <= len(points) <= 10
    assert {bits for bits, _ in points} <= {"4", "5", "6", "7", "8"}


def test_without_optuna_the_extra_is_named(call: Command, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = call("precision", small, *SEARCH, "--points", "3", "--workers", "1", "--quiet")
    assert done.sentence() == "--method optuna: needs the package optuna; install neurochip[search]"
