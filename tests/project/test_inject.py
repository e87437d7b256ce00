"""A script with changed values runs as `python script.py` does, but for the values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from whet.project.inject import Passing, arguments, merged, rewritten


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    outer = {k: v for k, v in os.environ.items() if not k.startswith("WHET_")}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=outer | env, capture_output=True, text=True, timeout=60
    )


def injected(folder: Path, values: dict[str, object], *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "-m", "whet.project.inject", "--whet-set", json.dumps(values), *words, **env)


SCRIPT = '''"""A docstring."""
from __future__ import annotations
import sys
lr: float = (
    0.1
)
betas = (0.9, 0.999)
doubled = lr * 2
lr = lr + 1
def fail(x: Missing):
    raise RuntimeError("on purpose")
print(__name__, __file__, __doc__, __package__, sys.argv, sys.path[0], lr, betas, doubled, fail.__annotations__)
if __name__ == "__main__" and len(sys.argv) > 1:
    fail(1)
'''


@pytest.mark.parametrize("arguments_", [[], ["--epochs", "3"]])
def test_all_but_the_values_is_as_in_a_plain_run(tmp_path: Path, arguments_: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "train.py").write_text(SCRIPT)
    plain = run(tmp_path, "sub/train.py", *arguments_)
    ours = injected(tmp_path, {"lr": 0.5, "betas": [0.1, 0.2]}, "sub/train.py", *arguments_)
    assert "1.1 (0.9, 0.999) 0.2" in plain.stdout
    assert ours.stdout == plain.stdout.replace("1.1 (0.9, 0.999) 0.2", "1.5 (0.1, 0.2) 1.0")
    assert ours.stderr == plain.stderr
    assert ours.returncode == plain.returncode == (1 if arguments_ else 0)


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.exit(7)\n",
        "x = (\n",
        "raise SystemExit('bye')\n",
        "def f(x: int): ...\nprint(f.__annotations__)\n",
    ],
)
def test_ends_as_a_plain_run_does(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.py").write_text(text)
    plain, ours = run(tmp_path, "train.py"), injected(tmp_path, {}, "train.py")
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_children_of_multiprocessing_see_the_same_values(tmp_path: Path, start: str) -> None:
    if start == "forkserver" and sys.platform == "win32":
        pytest.skip("no such start method")
    (tmp_path / "train.py").write_text(
        "import multiprocessing\nfactor = 1\ndef work(x): return x * factor\nif __name__ == '__main__':\n"
        f"    with multiprocessing.get_context('{start}').Pool(1) as pool:\n        print(pool.map(work, [1, 2]))\n"
    )
    done = injected(tmp_path, {"factor": 10}, "train.py")
    assert (done.stdout, done.stderr) == ("[10, 20]\n", "")


def test_launchers_that_start_the_main_module_again_see_the_same_values(tmp_path: Path) -> None:
    # As Lightning does for each further device.
    (tmp_path / "train.py").write_text(
        "import subprocess, sys, os, __main__\nlr = 1\nprint(lr, sys.argv[1:], flush=True)\nif not os.environ.get('RANK'):\n"
        "    subprocess.run([sys.executable, '-m', __main__.__spec__.name, *sys.argv[1:]], env={**os.environ, 'RANK': '1'})\n"
    )
    assert injected(tmp_path, {"lr": 5}, "train.py", "--a=1").stdout == "5 ['--a=1']\n" * 2


def test_modules(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "other.py").write_text("x = 3\n")
    (tmp_path / "pkg" / "fit.py").write_text(
        "import sys\nfrom .other import x\nlr = 1\nprint(lr, x, __name__, __package__, sys.argv)\n"
    )
    plain, ours = run(tmp_path, "-m", "pkg.fit", "a"), injected(tmp_path, {"lr": 2}, "-m", "pkg.fit", "a")
    assert ours.stdout == plain.stdout.replace("1 3", "2 3", 1) != plain.stdout
    assert injected(tmp_path, {}, "-m", "pkg.no").stderr.endswith("No module named pkg.no\n")


@pytest.mark.parametrize("ending", ["yaml", "json"])
@pytest.mark.parametrize("by_option", [True, False])
def test_a_configuration_file_is_read_as_changed_and_never_written(
    tmp_path: Path, ending: str, by_option: bool
) -> None:
    path = tmp_path / f"conf.{ending}"
    path.write_text(json.dumps({"model": {"width": 32, "drop": 0.1}, "a.b": 1}))
    before = path.read_bytes()
    how = "sys.argv[1].partition('=')[2]" if by_option else f"'conf.{ending}'"
    load = "json" if ending == "json" else "yaml"
    (tmp_path / "train.py").write_text(
        f"import json, sys, yaml, pathlib\nprint({load}.{'loads' if load == 'json' else 'safe_load'}(pathlib.Path({how}).read_text()))\n"
    )
    options = ["--whet-config-option", "--config"] if by_option else []
    passing = {"model.width": ["config"], "a.b": ["config"], "new.key": ["config"]}
    done = injected(
        tmp_path, {"model.width": 64, "a.b": 2, "new.key": 1e-5}, "--whet-pass", json.dumps(passing), "--whet-config", path.name,
        *options, "train.py", WHET_DIR=str(tmp_path / ".whet"), WHET_RUN_ID="r1",
    )  # fmt: skip
    assert done.stdout == "{'model': {'width': 64, 'drop': 0.1}, 'a.b': 2, 'new': {'key': 1e-05}}\n", done.stderr
    assert path.read_bytes() == before
    assert (tmp_path / ".whet" / "runs" / "r1" / path.name).is_file()


def test_argparse_gets_back_what_was_meant(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("-w", type=int)
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--bn", action=argparse.BooleanOptionalAction)
    parser.add_argument("--pin", type=bool)
    parser.add_argument("--units", nargs="+", type=int)
    parser.add_argument("--layer", action="append", type=int)
    parser.add_argument("-v", action="count")
    how = {
        "lr": (Passing.VALUE, ["--lr"], [-1e-3]), "w": (Passing.VALUE, ["-w"], [3]), "amp": (Passing.SWITCH, ["--amp"], [True, False]),
        "bn": (Passing.PAIR, ["--bn", "--no-bn"], [True, False]), "pin": (Passing.TRUTH, ["--pin"], [True, False]),
        "units": (Passing.LIST, ["--units"], [[64, 32]]), "layer": (Passing.REPEAT, ["--layer"], [[1, 2]]), "v": (Passing.COUNT, ["-v"], [3]),
    }  # fmt: skip
    for name, (passing, options, values) in how.items():
        for value in values:
            assert getattr(parser.parse_args(arguments(passing, options, value)), name) == value


def test_rewriting_keeps_lines_and_tells_what_is_missing() -> None:
    code = rewritten(b"x = 1\ny = (2 +\n   3)\nz = 1 / 0\n", "s.py", {"y": {"a": [1, float("inf")]}})
    names: dict[str, object] = {}
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code, names)
    assert caught.traceback[-1].lineno == 3
    assert names["y"] == {"a": [1, float("inf")]}
    with pytest.raises(NameError, match=r"s.py has no module-level assignment of late"):
        rewritten(b"if True:\n    late = 1\n", "s.py", {"late": 2})


def test_merging_keeps_order_and_other_keys() -> None:
    assert (
        merged("b: 1\na: {c: 1e-4, d: [1]}\n", {"a.e": True}, is_json=False)
        == "b: 1\na:\n  c: 1e-4\n  d:\n  - 1\n  e: true\n"
    )
