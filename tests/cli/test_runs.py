"""Does a run leave what it promises, repeat to the byte, and continue where it was interrupted?"""

from __future__ import annotations

import html
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import h5py
import pytest

from .conftest import Command, Done, environment

RUN_FILES = {"experiment.toml", "report.json", "report.html", "metrics.jsonl", "checkpoint.h5", "activity.h5"}
RUN_FILES |= {"commands.json"}
RUN_FILES |= {f"{plot}.svg" for plot in ("curves", "energy", "footprint", "steps")}
INTERRUPTED_FILES = {"experiment.toml", "checkpoint.h5", "metrics.jsonl", "commands.json"}
PRECISIONS = ("fixed", "float")


def results_of(directory: Path) -> list[tuple[str, str]]:
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    return [(result["rule"], result["precision"]) for result in report["results"]]


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def commands_of(page: str) -> list[tuple[str, str]]:
    """What the page says of how to repeat it."""
    return [(name, html.unescape(text)) for name, text in re.findall(r"<dt>(.*)</dt><dd><code>(.*)</code></dd>", page)]


def finished(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


@pytest.fixture
def compared(call: Command, folder: Path, small: Path) -> Path:
    """The run directory of a finished comparison."""
    finished(call("compare", small, "--quiet", "--out", "first"))
    return folder / "first"


def test_compare_leaves_every_file_and_both_precisions_of_every_rule(compared: Path) -> None:
    assert {path.name for path in compared.iterdir()} == RUN_FILES
    assert results_of(compared) == [(rule, precision) for rule in ("ottt-o", "bptt-o") for precision in PRECISIONS]
    with h5py.File(compared / "checkpoint.h5", "r") as file:
        assert set(file) == {"ottt-o", "bptt-o"}
        assert file["ottt-o/layers/0/weight"].shape[1] == 12
    with h5py.File(compared / "activity.h5", "r") as file:
        assert set(file) == {"ottt-o", "bptt-o"}
    lines = [json.loads(line) for line in (compared / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4


def test_learn_runs_one_rule_and_puts_the_weights_at_the_root(call: Command, folder: Path, small: Path) -> None:
    finished(call("learn", small, "--quiet", "--out", "run", "--set", "learning.rule=sltt-o"))
    assert results_of(folder / "run") == [("sltt-o", precision) for precision in PRECISIONS]
    with h5py.File(folder / "run" / "checkpoint.h5", "r") as file:
        assert file["layers/0/weight"].shape[1] == 12
        assert file["layers/1/weight"].shape[1] == 3


def test_the_table_is_on_standard_output_and_progress_on_standard_error(start: Command, folder: Path) -> None:
    (folder / "runs").mkdir()
    settings = ("task.steps=4", "task.classes=[3, 7]", "learning.epochs=2", "run.name=mine")
    done = finished(start("learn", *(word for setting in settings for word in ("--set", setting))))
    (directory,) = (folder / "runs").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-mine", directory.name)
    lines = done.err.splitlines()
    assert f"run directory: runs/{directory.name}" in lines
    assert lines[-1] == f"report: runs/{directory.name}/report.html"
    assert len([line for line in lines if re.fullmatch(r"ottt-o (fixed|float): epoch 2/2, .* %", line)]) == 2
    assert "\x1b" not in done.err + done.out
    assert re.search(r"^ottt-o +\d", done.out, re.MULTILINE)
    assert "epoch 1/2" not in done.out


def test_quiet_prints_the_table_alone(call: Command, small: Path) -> None:
    done = finished(call("learn", small, "--quiet", "--out", "run"))
    assert done.err == ""
    assert re.search(r"^ottt-o +\d", done.out, re.MULTILINE)


@pytest.mark.parametrize("way", ["call", "start"])
def test_json_is_the_report_byte_for_byte(
    way: str, request: pytest.FixtureRequest, compared: Path, small: Path
) -> None:
    done = finished(request.getfixturevalue(way)("compare", small, "--json", "--out", "first"))
    assert done.out.encode() == (compared / "report.json").read_bytes()
    assert "run directory: first" in done.err.splitlines()


def test_a_page_written_again_names_the_first_command_and_its_own(call: Command, compared: Path) -> None:
    done = finished(call("report", "first", "--format", "html", "--chip", "ottt-core-28nm"))
    began = shlex.join(["neurochip", "compare", str(compared.parent / "small.toml"), "--quiet", "--out", "first"])
    again = "neurochip report first --format html --chip ottt-core-28nm"
    assert commands_of(done.out) == [("command", began), ("then", again)]
    (compared / "commands.json").unlink()  # a run of an earlier version
    assert [name for name, _ in commands_of(finished(call("report", "first", "--format", "html")).out)] == ["command"]


def test_the_page_shows_the_experiment_as_the_command_takes_it(call: Command, compared: Path) -> None:
    page = (compared / "report.html").read_text(encoding="utf-8")
    shown = re.search(r'<pre class="experiment">(.*?)</pre>', page, re.DOTALL)
    assert shown is not None
    Path("shown.toml").write_text(html.unescape(shown[1]), encoding="utf-8")
    finished(call("compare", "shown.toml", "--quiet", "--out", "again"))
    assert Path("again/report.json").read_bytes() == (compared / "report.json").read_bytes()


def test_the_report_names_the_versions_that_its_numbers_depend_on(compared: Path) -> None:
    report = json.loads((compared / "report.json").read_text(encoding="utf-8"))
    for package in ("numpy", "numba", "h5py", "scikit-learn", "scipy", "tonic"):
        assert report["versions"][package] == version(package)
    page = (compared / "report.html").read_text(encoding="utf-8")
    assert f"<dt>scikit-learn</dt><dd>{version('scikit-learn')}</dd>" in page


def test_the_same_command_again_changes_nothing(call: Command, compared: Path, small: Path) -> None:
    before = contents(compared)
    times = {path: path.stat().st_mtime_ns for path in compared.iterdir()}
    finished(call("compare", small, "--quiet", "--out", "first"))
    assert contents(compared) == before
    assert {path: path.stat().st_mtime_ns for path in compared.iterdir()} == times


@pytest.mark.parametrize("verb", ["learn", "compare"])
def test_resuming_a_finished_run_changes_nothing(verb: str, call: Command, compared: Path) -> None:
    before = contents(compared)
    done = finished(call(verb, "--resume", "first", "--json"))
    assert contents(compared) == before
    assert done.out.encode() == before["report.json"]
    assert done.err.splitlines() == ["the run is finished; nothing to do", "report: first/report.html"]


def test_resuming_refuses_an_unknown_engine(call: Command, compared: Path) -> None:
    assert "quick" in call("learn", "--resume", "first", "--engine", "quick").sentence()


def test_the_same_experiment_elsewhere_gives_the_same_report(call: Command, compared: Path, small: Path) -> None:
    finished(call("compare", small, "--quiet", "--out", "deep/second"))
    second = Path("deep/second")
    assert (second / "report.json").read_bytes() == (compared / "report.json").read_bytes()
    assert (second / "experiment.toml").read_bytes() == (compared / "experiment.toml").read_bytes()


def test_the_resolved_experiment_runs_again_to_the_same_report(call: Command, compared: Path) -> None:
    finished(call("compare", compared / "experiment.toml", "--quiet", "--out", "again"))
    assert Path("again/report.json").read_bytes() == (compared / "report.json").read_bytes()


def test_another_experiment_is_refused_in_a_run_directory(call: Command, compared: Path, small: Path) -> None:
    before = contents(compared)
    sentence = call("compare", small, "--quiet", "--out", "first", "--set", "run.seed=2").sentence()
    assert "first" in sentence
    assert "another experiment" in sentence
    assert contents(compared) == before


def test_an_empty_folder_that_exists_is_used(call: Command, folder: Path, small: Path) -> None:
    (folder / "empty").mkdir()
    finished(call("learn", small, "--quiet", "--out", "empty"))
    assert {path.name for path in (folder / "empty").iterdir()} == RUN_FILES


def test_options_are_the_settings_they_stand_for(call: Command, compared: Path, folder: Path, small: Path) -> None:
    settings = ("run.rules=['ottt-o', 'bptt-o']", "chip.name='ottt-core-28nm'")
    words = [word for setting in settings for word in ("--set", setting)]
    finished(call("compare", small, "--quiet", "--out", "set", *words))
    options = ("--rules", " ottt-o , bptt-o ", "--chip", "ottt-core-28nm")
    finished(call("compare", small, "--quiet", "--out", "options", *options))
    for name in ("set", "options"):
        assert (folder / name / "report.json").read_bytes() == (compared / "report.json").read_bytes()


def test_a_later_setting_wins_over_an_earlier_one_and_over_the_file(call: Command, folder: Path, small: Path) -> None:
    changes = ("--set", "task.steps=9", "--set", "task.steps=3")
    finished(call("learn", small, "--quiet", "--out", "run", *changes))
    assert json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))["task"]["n_steps"] == 3


def test_tune_chooses_the_rates_and_records_them(call: Command, folder: Path, small: Path) -> None:
    finished(call("compare", small, "--quiet", "--tune", "--rules", "ottt-o", "--out", "run"))
    resolved = (folder / "run" / "experiment.toml").read_text(encoding="utf-8")
    assert "tune = true" in resolved
    assert re.search(r"ottt-o = [\d.]+", resolved)


def test_the_golden_model_gives_the_same_report(call: Command, folder: Path, small: Path) -> None:
    changes = ("--set", "task.steps=2", "--set", "task.classes=[0, 1]")
    everything = ("--set", "run.activity_samples=1000")
    few = ("--set", 'network.layers=[{kind="dense",neurons=2,leak_shift=1},{kind="readout"}]')
    for engine in ("fast", "reference"):
        finished(call("learn", small, "--quiet", "--engine", engine, "--out", engine, *changes, *few, *everything))
    assert (folder / "fast" / "report.json").read_bytes() == (folder / "reference" / "report.json").read_bytes()


# A shell that starts the tests in the background makes its processes ignore Ctrl-C; this one never does.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from neurochip.cli import main
sys.exit(main())
"""


def interrupt_after_an_epoch(words: list[str], runs: Path) -> tuple[Path, Done]:
    """Send Ctrl-C to `neurochip WORDS` as soon as its run directory below `runs` has a checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        deadline = time.monotonic() + 300
        while not (checkpoints := list(runs.glob("*/checkpoint.h5"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    return checkpoints[0].parent, Done(process.returncode, out, err)


def epochs_done(directory: Path) -> int:
    return len((directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_an_interrupted_run_continues_to_the_same_report(call: Command, folder: Path, small: Path) -> None:
    long = ("--rules", "infer,ottt-o,bptt-o", "--set", "learning.epochs=12")
    directory, stopped = interrupt_after_an_epoch(["compare", "small.toml", "--quiet", *long], folder / "runs")
    assert (stopped.code, stopped.out) == (130, "")
    assert {path.name for path in directory.iterdir()} == INTERRUPTED_FILES

    # The sentence is one line, and the command in it works as it stands.
    command = stopped.err.removeprefix("neurochip: interrupted; continue with: neurochip ")
    assert shlex.split(command) == ["compare", "--resume", f"runs/{directory.name}"]
    n_before = epochs_done(directory)
    finished(call(*shlex.split(command), "--quiet"))

    # The page names the command that began the run, then the one that continued it; the report names none.
    first, then = [
        shlex.join(["neurochip", *words])
        for words in (("compare", "small.toml", "--quiet", *long), (*shlex.split(command), "--quiet"))
    ]
    assert commands_of((directory / "report.html").read_text(encoding="utf-8")) == [("command", first), ("then", then)]
    finished(call("compare", small, "--quiet", "--out", "whole", *long))
    assert (directory / "report.json").read_bytes() == (folder / "whole" / "report.json").read_bytes()
    # Finished epochs were not run again.
    assert 0 < n_before < epochs_done(directory) == epochs_done(folder / "whole")


def test_an_interrupt_before_anything_was_written_says_so(
    call: Command, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurochip import experiment

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "learn", interrupted)
    done = call("learn", small)
    assert (done.code, done.out) == (130, "")
    assert done.err == "neurochip: interrupted; nothing was written yet, so give the same command again\n"
    monkeypatch.setattr(experiment, "resume", interrupted)
    done = call("learn", "--resume", "my run")
    assert done.err == "neurochip: interrupted; continue with: neurochip learn --resume 'my run'\n"
