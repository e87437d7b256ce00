"""What a reader waits for: the page's first load, first paint, the table of 10,000 runs, and a trial that has just ended.

    python -m benchmarks.web [--quick] [--json FILE] [--check]        (make bench-web installs what it needs)

One study of 10,000 trials × 8 parameters is kept by Whet (in SQLite) and by Optuna (in the memory of the server, which is its quickest
storage). Headless Chromium opens, each time without anything kept from before, the run table and the sweep's page of `whet serve`, and the
study's page and list of trials of optuna-dashboard. *Contents* is when what the page is for is first in the document (rows; the history);
*ready* is when after that no task keeps the page from answering for half a second: the end of the last task over 50 ms, or the contents.
The table is then scrolled from its first row to its last, every frame's length taken; its peer shows pages of rows, so that there is nothing
to scroll. Parallel coordinates are drawn again and again, an axis turned each time, and ranges dragged on them: the time of each drawing, and of the
frames meanwhile. At last agents ask the server for trials, over HTTP, and the time is taken from the event of the server until its row is in the table.
"""

from __future__ import annotations

import math
import random
import shutil
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks._harness import Report, arguments, number, paired, quantile, served, spread

__all__ = ["main"]

FIRST_LOAD_KB, PAINT_S, READY_S, FRAME_MS, LIVE_S, REDRAW_MS, BRUSH_MS = 300.0, 1.0, 1.5, 100.0, 1.0, 150.0, 50.0
PARAMS = 8
NAME = "ten-thousand"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
STATIC = ("Document", "Script", "Stylesheet", "Image", "Font", "Manifest", "Other")

WATCH = """
(() => {
  const seen = window.__seen = { tasks: [], contents: null, events: [], counts: [] };
  new PerformanceObserver((list) => { for (const one of list.getEntries()) seen.tasks.push([one.startTime, one.duration]); }).observe({ type: "longtask", buffered: true });
  const look = () => {
    if (seen.contents === null && document.querySelector(SELECTOR)) seen.contents = performance.now();
    const count = document.querySelector("[role=grid]")?.getAttribute("aria-rowcount");
    if (count && count !== seen.counts.at(-1)?.[0]) seen.counts.push([count, performance.now()]);
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-rowcount"] });
  const Source = window.EventSource;
  window.EventSource = class extends Source {
    constructor(...given) {
      super(...given);
      this.addEventListener("changes", () => seen.events.push(performance.now()));
    }
  };
})();
"""
SCROLL = """
(step) => new Promise((done) => {
  const box = document.querySelector("[role=grid]");
  const frames = [];
  let last = performance.now();
  const next = (now) => {
    frames.push(now - last);
    last = now;
    if (box.scrollTop + box.clientHeight >= box.scrollHeight - 1) return done(frames.slice(1));
    box.scrollTop += step;
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})
"""
FRAMES = """
(() => {
  window.__frames = [];
  let last = performance.now();
  const next = (now) => {
    window.__frames.push(now - last);
    last = now;
    window.__next = requestAnimationFrame(next);
  };
  window.__next = requestAnimationFrame(next);
})()
"""
ROWS = ".table-body .row:not(.row-coming)"
HISTORY = ".plot canvas"
PEER_HISTORY = ".js-plotly-plot .scatterlayer .points path"
PEER_ROWS = ".MuiChip-label"


def trials(num: int) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield the study's trials: parameters and result."""
    draw = random.Random(0)
    for _ in range(num):
        params: dict[str, Any] = {"lr": 10 ** draw.uniform(-5, -1), "optimizer": draw.choice(["adam", "sgd"])}
        params |= {f"p{k}": draw.random() for k in range(PARAMS - 2)}
        yield params, 0.05 + (math.log10(params["lr"]) + 2.5) ** 2 / 30 + 0.2 * params["p0"] ** 2 + 0.02 * draw.random()


def fill(path: Path, num: int) -> str:
    """Keep the study in Whet's store; return the id of its sweep."""
    import whet
    from whet.store import open_store

    space = {
        "lr": {"min": 1e-5, "max": 1e-1, "distribution": "log_uniform"},
        "optimizer": {"values": ["adam", "sgd"]},
        **{f"p{k}": {"min": 0.0, "max": 1.0} for k in range(PARAMS - 2)},
    }
    with closing(open_store(str(path))) as store:
        study = whet.create_study(name=NAME, project="bench", space=space, storage=store, method="random")
        for params, value in trials(num):
            study.enqueue_trial(params)
            study.tell(study.ask(), value)
        return study.id


def peer(num: int) -> None:
    """Serve the study by optuna-dashboard until stdin closes; the URL goes to stdout."""
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna_dashboard import wsgi

    class Server(socketserver.ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name=NAME, storage=storage)
    space: dict[str, Any] = {
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
    }
    space |= {f"p{k}": FloatDistribution(0, 1) for k in range(PARAMS - 2)}
    for params, value in trials(num):
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=value))
    with make_server("127.0.0.1", 0, wsgi(storage), server_class=Server, handler_class=Quiet) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        import threading

        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()


@contextmanager
def peered(num: int) -> Iterator[str]:
    """Yield the URL of optuna-dashboard."""
    command = [sys.executable, "-m", "benchmarks.web", "--peer", str(num)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


@contextmanager
def opened(browser: Any, selector: str) -> Iterator[tuple[Any, dict[str, float]]]:
    """Yield a page of a browser that has kept nothing, which watches itself, and what is moved by kind, in kB."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.add_init_script(WATCH.replace("SELECTOR", repr(selector)))
        moved = {"static": 0.0, "data": 0.0}
        kinds: dict[str, str] = {}
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.responseReceived", lambda one: kinds.update({one["requestId"]: one["type"]}))

        def ended(one: Mapping[str, Any]) -> None:
            kind = "static" if kinds.get(one["requestId"]) in STATIC else "data"
            moved[kind] += one["encodedDataLength"] / 1000

        network.on("Network.loadingFinished", ended)
        yield page, moved
    finally:
        context.close()


def load(browser: Any, url: str, selector: str) -> Mapping[str, float]:
    """Open `url`, and return when its parts were there."""
    with opened(browser, selector) as (page, moved):
        page.goto(url)
        page.locator(selector).first.wait_for(timeout=120_000)
        while True:  # until no task was long for half a second
            page.wait_for_timeout(500)
            now, seen = page.evaluate("[performance.now(), window.__seen]")
            busy = max((start + length for start, length in seen["tasks"]), default=0.0)
            if now - max(busy, seen["contents"]) > 500:
                break
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        return {
            "first load kB": moved["static"],
            "data kB": moved["data"],
            "paint s": paint / 1000,
            "contents s": seen["contents"] / 1000,
            "ready s": max(busy, seen["contents"]) / 1000,
        }


def scroll(browser: Any, url: str) -> list[float]:
    """Scroll the run table to its end and return the length of every frame, in ms."""
    with opened(browser, ROWS) as (page, _):
        page.goto(url)
        page.locator(ROWS).first.wait_for()
        frames: list[float] = page.evaluate(SCROLL, 500)
        page.locator(".row-coming").first.wait_for(state="detached", timeout=120_000)
        return frames


def side_by_side(browser: Any, url: str, count: int) -> Mapping[str, list[float]]:
    """Turn an axis of the parallel coordinates `count` times, drag as many ranges on others; return how long each drawing and each frame took, in ms."""
    with opened(browser, ".parallel canvas") as (page, _):
        page.goto(url)
        names = page.locator(".parallel-name")
        names.first.wait_for()
        page.locator(".parallel").scroll_into_view_if_needed()
        page.wait_for_timeout(1500)

        def drawn(name: str) -> list[float]:
            took: list[float] = page.evaluate(
                f"performance.getEntriesByName('parallel {name}').map((one) => one.duration)"
            )
            page.evaluate("performance.clearMeasures()")
            return took

        drawn("redraw")
        for _ in range(count):
            names.first.press("Enter")
            page.wait_for_timeout(300)
        redraws = drawn("redraw")
        frames: list[float] = []
        for turn in range(count):
            strip = page.locator(".parallel-strip").nth(1 + turn % 4).bounding_box()
            x, top, height = strip["x"] + strip["width"] / 2, strip["y"], strip["height"]
            page.mouse.move(x, top + height * 0.3)
            page.mouse.down()
            page.evaluate(FRAMES)
            for step in range(1, 21):
                page.mouse.move(x, top + height * (0.3 + 0.02 * step))
                page.wait_for_timeout(20)
            frames += page.evaluate("(cancelAnimationFrame(window.__next), window.__frames.slice(1))")
            page.mouse.up()
            page.wait_for_timeout(300)
        return {"redraw": redraws, "brush": drawn("brush"), "frames": frames}


def live(browser: Any, base: str, sweep: str, count: int) -> list[Mapping[str, float]]:
    """Ask the server for `count` trials while the sweep's page is open; return how long each took to be seen, in s."""
    import whet

    taken: list[Mapping[str, float]] = []
    with opened(browser, ROWS) as (page, _), closing(whet.store.open_store(base)) as store:
        page.goto(f"{base}/sweeps/{sweep}")
        page.locator(".live").wait_for()
        page.locator(ROWS).first.wait_for()
        study = whet.load_study(name=NAME, storage=store)
        for _ in range(count):
            page.wait_for_timeout(3000)
            shown, events = page.evaluate("[window.__seen.counts.length, window.__seen.events.length]")
            told = time.time()
            study.ask()
            while (
                now := page.evaluate("[window.__seen.counts, window.__seen.events, performance.timeOrigin]")
            ) and len(now[0]) == shown:
                page.wait_for_timeout(20)
            at = now[0][shown][1]
            taken.append({"event": (at - now[1][events]) / 1000, "told": (now[2] + at) / 1000 - told})
    return taken


def main() -> int:
    """Run it."""
    given = arguments(__doc__, repeats=7, quick_repeats=2)
    from playwright.sync_api import sync_playwright

    from whet.server.page import is_built

    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        print("no Chromium here: apt-get install chromium", file=sys.stderr)
        return 2
    if not is_built():
        print("the page is not built: make ui", file=sys.stderr)
        return 2
    num = 1_000 if given.quick else 10_000
    report = Report(title=f"The page over {num:,} trials × {PARAMS} parameters, in headless Chromium")
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "whet.db"
        sweep = fill(path, num)
        server = stack.enter_context(served(path))
        base, other = server.url, stack.enter_context(peered(num))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        stack.callback(browser.close)
        cases: dict[str, Callable[[], Mapping[str, float]]] = {
            "Whet: runs": partial(load, browser, f"{base}/runs", ROWS),
            "Whet: the sweep": partial(load, browser, f"{base}/sweeps/{sweep}", HISTORY),
            "optuna-dashboard: the study": partial(load, browser, f"{other}/dashboard/studies/0", PEER_HISTORY),
            "optuna-dashboard: its trials": partial(load, browser, f"{other}/dashboard/studies/0/trials", PEER_ROWS),
        }
        _loads(report, paired(cases, given.repeats))
        turns = [scroll(browser, f"{base}/runs") for _ in range(given.repeats)]
        _frames(report, turns, num)
        _parallel(report, side_by_side(browser, f"{base}/sweeps/{sweep}", 2 + 2 * given.repeats))
        _lives(report, live(browser, base, sweep, 2 * given.repeats))
        report.remark(f"the server of Whet: {psutil.Process(server.pid).memory_info().rss / 1e6:,.0f} MB")
    return report.finish(given)


def _loads(report: Report, results: Mapping[str, list[Mapping[str, float]]]) -> None:
    keys = list(next(iter(results.values()))[0])
    found = {name: {key: spread(turn[key] for turn in turns) for key in keys} for name, turns in results.items()}
    report.table(
        "First load, nothing kept from before: median [least … greatest]",
        ["", *keys],
        [[name, *(one.text() for one in row.values())] for name, row in found.items()],
    )
    report.data["loads"] = results
    for name in (one for one in results if one.startswith("Whet")):
        for key, most in (("first load kB", FIRST_LOAD_KB), ("paint s", PAINT_S), ("ready s", READY_S)):
            got = found[name][key].median
            report.bound(f"{name}: {key} at most {most:g}", got, got <= most)


def _frames(report: Report, turns: list[list[float]], num: int) -> None:
    worst = spread(max(frames) for frames in turns)
    every = [one for frames in turns for one in frames]
    late = sum(one > FRAME_MS for one in every)
    report.data["frames"] = {"worst ms": [max(frames) for frames in turns], "count": len(every), "over": late}
    report.remark(
        f"scrolling {num:,} rows: worst frame {worst.text()} ms, half of them at most {number(quantile(every, 0.5))} ms, "
        f"99 of 100 at most {number(quantile(every, 0.99))} ms; {late} of {len(every):,} over {FRAME_MS:g} ms"
    )
    report.bound(f"scrolling: no frame over {FRAME_MS:g} ms, in any turn", worst.high, worst.high <= FRAME_MS)


def _parallel(report: Report, taken: Mapping[str, list[float]]) -> None:
    redraw, brush = spread(taken["redraw"]), spread(taken["brush"])
    report.data["parallel"] = taken
    frames = ", ".join(
        f"{words} {number(quantile(taken['frames'], share))}"
        for words, share in (("half of them at most", 0.5), ("99 of 100 at most", 0.99), ("the longest", 1.0))
    )
    report.remark(
        f"parallel coordinates of {PARAMS} axes: a drawing takes {redraw.text()} ms, with ranges that are dragged {brush.text()} ms "
        f"(frames meanwhile, ms: {frames})"
    )
    report.bound(f"parallel coordinates: drawn in {REDRAW_MS:g} ms", redraw.median, redraw.median <= REDRAW_MS)
    report.bound(f"parallel coordinates: a range is seen in {BRUSH_MS:g} ms", brush.median, brush.median <= BRUSH_MS)


def _lives(report: Report, taken: list[Mapping[str, float]]) -> None:
    event, told = spread(one["event"] for one in taken), spread(one["told"] for one in taken)
    report.data["live"] = taken
    report.remark(
        f"a new trial is in the table {event.text()} s after the server's event, {told.text()} s after its agent asked for it"
    )
    report.bound(f"a new trial is shown within {LIVE_S:g} s of its event", event.median, event.median <= LIVE_S)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(int(sys.argv[2]))
    else:
        sys.exit(main())
