import argparse
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from whet.errors import StoreUnavailable, TrackError, TrialPruned, UnknownName
from whet.store.open import open_store
from whet.track import claim, face
from whet.track.claim import Claim
from whet.track.notices import Notices
from whet.track.shipper import Shipper
from whet.track.spool import SpoolReader, SpoolWriter, path_of
from whet.trial import Goal, Phase, Suggestion

QUIET = {"capture": False, "system_interval_s": 0, "stdout": False}


@pytest.fixture
def start(tmp_path):
    runs = []

    def start(*args, **more):
        more = {"dir": tmp_path, "mode": "offline", "settings": QUIET, "reinit": "create_new", **more}
        runs.append(face.init(*args, **more))
        return runs[-1]

    yield start
    for run in runs:
        run.finish()


def rows(run):
    run.flush()
    records = SpoolReader(path_of(run.folder, 0)).read(1 << 26).records
    return [(r[1], r[3]) for r in records if r[0] == "r"]


def test_steps_are_those_of_wandb(start, capsys):
    run = start()
    run.log({"a": 1})
    run.log({"a": 2, "b": 5}, commit=False)
    run.log({"a": 3})  # of one step the last value of a metric counts
    run.log({"c": 1}, step=7)
    run.log({"d": 1}, step=7)  # adds to the step
    run.log({"e": 1})  # so does this, and completes it
    run.log({"f": 1})
    run.log({"late": 1}, step=3)
    run.log({"late": 1}, step=3)
    assert rows(run) == [
        (0, {"a": 1}), (1, {"a": 3, "b": 5}), (7, {"c": 1}), (7, {"d": 1}), (7, {"e": 1}), (8, {"f": 1}),
    ]  # fmt: skip
    assert capsys.readouterr().err == (
        "whet: step 3 comes after step 9 was reached: it is dropped (said once); steps may only grow\n"
    )


def test_every_kind_of_number_is_kept_and_the_rest_never_stops_a_training(start, capsys):
    import numpy as np
    import torch

    run = start()
    weight = torch.tensor(2.5, requires_grad=True)
    run.log(
        {
            "t": weight, "t1": torch.tensor([3]), "n": np.float32(0.5), "n0": np.array(4), "flag": True, "big": 10**400,
            "deep": {"er": {"x": 1}}, "word": "hello", "image": object(), "vector": np.zeros(3), "none": None,
        }
    )  # fmt: skip
    run.log({"image": object()})
    assert rows(run) == [(0, {"t": 2.5, "t1": 3, "n": 0.5, "n0": 4, "flag": 1, "big": math.inf, "deep.er.x": 1})]
    assert run.summary["word"] == "hello"
    said = capsys.readouterr().err
    assert said.count("'image' is a object, no number: it is left out (said once); keep files with run.save(path)") == 1
    assert "'vector' is a ndarray" in said


def test_a_tensor_that_changes_later_was_logged_as_it_was(start):
    import torch

    run, total = start(), torch.zeros(())
    for _ in range(3):
        total += 1
        run.log({"total": total})
    assert [values["total"] for _, values in rows(run)] == [1, 2, 3]


def test_nan_and_infinity_are_kept_and_said_once(start, capsys):
    run = start()
    for value in (1.0, math.nan, math.inf, math.nan):
        run.log({"loss": value})
    assert [str(v["loss"]) for _, v in rows(run)] == ["1.0", "nan", "inf", "nan"]
    assert capsys.readouterr().err == (
        "whet: metric 'loss' is nan at step 1; it is kept, and said only once: "
        "a lower learning rate or gradient clipping often helps\n"
    )
    assert (run.summary.min("loss"), run.summary.max("loss")) == (1.0, math.inf)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.log(3), "log got int, not a mapping of names to numbers"),
        (lambda r: r.log({1: 2}), "metric name 1 is no text"),
        (lambda r: r.log({"": 2}), "a metric name is empty"),
        (lambda r: r.log({"a": 2}, step="x"), "step 'x' is no whole number"),
        (lambda r: r.log({"a": 2}, step=1.5), "step 1.5 is no whole number"),
        (lambda r: r.summary.min("los"), "no metric 'los' was logged in this run: logged so far, nearest first: loss"),
        (lambda r: r.save("nothing.pt"), "there is no file 'nothing.pt' to keep"),
    ],
)
def test_bad_calls_say_what_to_do(start, call, message):
    run = start()
    run.log({"loss": 1})
    with pytest.raises(TrackError) as caught:
        call(run)
    assert str(caught.value).startswith(message)
    assert caught.value.fix


def test_config_by_attribute_item_and_dotted_name(start):
    run = start(config=argparse.Namespace(lr=0.1, model={"width": 8, "act": "relu"}))
    run.config.update({"epochs": 3}, seed=1)
    run.config.model.width = 16
    run.config["model.depth"] = 2
    run.config.setdefault("lr", 5)
    assert run.config.as_dict() == {
        "lr": 0.1, "model": {"width": 16, "act": "relu", "depth": 2}, "epochs": 3, "seed": 1
    }  # fmt: skip
    assert run.config["model.width"] == run.config["model"]["width"] == run.config.get("model").width == 16
    assert "nothing" not in run.config
    with pytest.raises(AttributeError, match="no 'epoch' here; known, nearest first: epochs"):
        run.config.epoch  # noqa: B018
    assert not hasattr(run.config, "absent")


def test_summary_is_the_last_value_a_rule_or_the_users_own(start):
    run = start()
    run.define_metric("acc", summary="max")
    for loss, acc in ((3, 0.1), (1, 0.9), (2, 0.5)):
        run.log({"loss": loss, "acc": acc, "own": 1})
    run.summary["own"] = run.summary.own + 41
    assert dict(run.summary) == {"loss": 2, "acc": 0.9, "own": 42}
    assert (run.summary.min("loss"), run.summary.best("acc", "maximize"), run.summary.last("acc")) == (1, 0.9, 0.5)


def test_everything_reaches_the_store(tmp_path, start):
    (tmp_path / "model.pt").write_bytes(b"weights")
    run = start("digits", {"lr": 0.1}, mode="online", name="first", group="g", tags=["a"], notes="n")
    run.log({"loss": 2.0})
    run.log({"loss": 1.0, "acc": 0.5})
    run.config.seed = 7
    run.summary["best"] = "yes"
    run.tags = (*run.tags, "b")
    run.save(tmp_path / "model.pt")
    Path(run.dir, "notes.txt").write_text("written there")
    assert run.sync()
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    assert store.runs.get(run.id).phase is Phase.RUNNING
    run.finish()
    kept = store.runs.get(run.id)
    assert (kept.project, kept.name, kept.group, kept.tags, kept.notes, kept.phase) == (
        "digits", "first", "g", ("a", "b"), "n", Phase.FINISHED,
    )  # fmt: skip
    assert (dict(kept.config), dict(kept.summary)) == ({"lr": 0.1, "seed": 7}, {"best": "yes"})
    assert store.runs.metrics(run.id)["loss"].values == [2.0, 1.0]
    files = {a.name: a for a in store.runs.artifacts(run.id)}
    assert set(files) == {"model.pt", "notes.txt"}
    assert Path(files["model.pt"].path).read_bytes() == b"weights"
    assert files["model.pt"].sha256 == hashlib.sha256(b"weights").hexdigest()
    store.close()


@pytest.mark.parametrize(
    "name", ["../../out.txt", "/etc/out.txt", "..\\..\\out.txt", "a/../../../out.txt", "C:\\out.txt"]
)
def test_no_name_leads_out_of_the_runs_folder(tmp_path, start, name):
    run = start()
    (tmp_path / "x").write_text("x")
    run.log_artifact(tmp_path / "x", name=name)
    (kept,) = (p for p in run.folder.rglob("*") if p.is_file() and p.name != "spool-0")
    assert kept.resolve().is_relative_to((run.folder / "files").resolve())
    assert not (tmp_path.parent / "out.txt").exists()


def test_a_link_in_the_folder_is_not_followed_out(tmp_path, start):
    run = start()
    outside = tmp_path / "outside"
    outside.mkdir()
    Path(run.dir, "link").symlink_to(outside)
    (tmp_path / "x").write_text("x")
    with pytest.raises(TrackError, match="through a link"):
        run.log_artifact(tmp_path / "x", name="link/x")
    assert list(outside.iterdir()) == []
    Path(run.dir, "link").unlink()


def test_unknown_and_wandbs_arguments(start):
    start(entity="me", anonymous="allow", save_code=True, job_type="train")
    with pytest.raises(UnknownName, match=r"unknown argument of whet\.init 'projet': did you mean 'project'"):
        start(projet="x")
    with pytest.raises(TrackError, match="mode 'of' is not known: give one of online, offline, disabled"):
        start(mode="of")
    with pytest.raises(TrackError, match=r"run id '\.\./x' can't be"):
        start(id="../x")


def test_a_run_goes_on_where_it_stopped(start):
    first = start(id="again")
    first.log({"a": 1})
    first.finish()
    with pytest.raises(TrackError, match="there is a run 'again' already: resume=True goes on with it"):
        start(id="again")
    second = start(id="again", resume=True)
    second.log({"a": 2})
    assert rows(second) == [(0, {"a": 1}), (1, {"a": 2})]
    with pytest.raises(TrackError, match="there is no run 'missing'"):
        start(id="missing", resume="must")


def test_the_module_face_needs_a_run_and_finds_it(tmp_path):
    for call in (lambda: face.log({"a": 1}), lambda: face.config.lr, lambda: face.summary["a"], lambda: face.save("x")):
        with pytest.raises(TrackError, match=r"there is none: call whet\.init\(\) first"):
            call()
    face.finish()
    assert face.run is None
    with face.init(dir=tmp_path, mode="offline", settings=QUIET) as run:
        assert face.run is run
        assert face.init() is run  # again, as in W&B: the run at hand
        face.config.lr = 0.1
        face.config.update(epochs=3)
        face.log({"a": 1})
        face.summary["b"] = 2
        seen = []
        thread = threading.Thread(target=lambda: seen.append(face.run))
        thread.start()
        thread.join()
        assert seen == [run]  # a helper thread of the training logs to it too
    assert (dict(run.config), dict(run.summary)) == ({"lr": 0.1, "epochs": 3}, {"a": 1, "b": 2})
    assert face.run is None
    with pytest.raises(TrackError, match=r"is over: log before run\.finish"):
        run.log({"a": 1})


def test_when_an_inner_run_ends_the_outer_is_at_hand_again(start):
    outer = start(mode="disabled")
    start().finish()
    assert face.run is outer


def test_disabled_keeps_nothing_but_works(tmp_path, start):
    run = start(mode="disabled", config={"lr": 1})
    run.log({"loss": 1}, step=3)
    run.summary["x"] = 2
    run.finish()
    assert dict(run.summary) == {"loss": 1, "x": 2}
    assert list(tmp_path.iterdir()) == []


# -- in a sweep ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trial(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    sweep = store.sweeps.create("p", {}, goals=[Goal.MAXIMIZE, Goal.MINIMIZE])
    seen = store.trials.changes(sweep.id).revision
    params = {"lr": 0.01, "model.width": 4}
    run_id = store.trials.add(sweep.id, 0, Suggestion(params=params), owner="test", seen=seen)
    made = {
        "run_id": run_id, "attempt": 0, "sweep_id": sweep.id, "number": 0, "project": "p", "params": params,
        "metrics": ("acc", "loss"), "store": store, "dir": str(tmp_path),
    }  # fmt: skip
    yield store, lambda **more: Claim(**{**made, **more})
    store.close()


def as_trial(told):
    token = claim.current.set(told)
    try:
        return face.init(config={"lr": 5, "model": {"width": 1, "depth": 2}}, settings=QUIET, mode="online")
    finally:
        claim.current.reset(token)


def test_what_the_sweep_chose_wins_and_reports_arrive(trial, capsys):
    store, told = trial
    run = as_trial(told())
    assert run.config.as_dict() == {"lr": 0.01, "model": {"width": 4, "depth": 2}}
    run.config.update({"lr": 7, "extra": 1})
    assert run.config.lr == 0.01
    for epoch in range(3):
        run.log({"batch": 1})
        run.log({"batch": 2})
        run.log({"acc": epoch / 10}, commit=False)
        run.log({"loss": 1.0})
    run.log({"acc": 0.9}, step=50)
    run.log({"loss": 0.1}, step=50)
    assert run.sync()
    changes = store.trials.changes(told().sweep_id)
    # Without a step, reports count what the sweep looks at, however much else is logged between; with one, it is the step.
    assert [(r.step, r.values) for _, _, r in changes.reports if r.step < 50] == [
        (0, (0.0, 1.0)), (1, (0.1, 1.0)), (2, (0.2, 1.0)),
    ]  # fmt: skip
    assert {r.step: r.values for _, _, r in changes.reports}[50] == (0.9, 0.1)
    run.finish()
    kept = store.runs.get(run.id)
    assert kept.phase is Phase.RUNNING  # its end is told by who handed it out
    assert kept.config["model"] == {"width": 4, "depth": 2}
    assert kept.stats["batch"].count == 6
    assert "config 'lr' was chosen by the sweep and stays" in capsys.readouterr().err


def test_the_stopper_ends_it_by_an_exception(trial):
    _, told = trial
    reasons = iter([None, "below the median"])
    run = as_trial(told(stop=lambda: next(reasons)))
    run.log({"batch": 1})  # nothing the sweep looks at: nobody is asked
    run.log({"acc": 1})
    with pytest.raises(TrialPruned, match="below the median"):
        run.log({"acc": 2})
    run.finish()


def test_a_trial_handed_out_again_is_told_so_and_its_old_story_is_not_wanted(trial, capsys):
    store, told = trial
    run = as_trial(told())
    run.log({"acc": 1})
    assert run.sync()
    store.trials.requeue(told().sweep_id, 0, 0, "its worker was lost")
    store.trials.claim(told().sweep_id, 0, owner="other")
    run.log({"acc": 2})
    run.finish()
    assert "this run is no longer sent to the store" in capsys.readouterr().err
    assert store.trials.changes(told().sweep_id).reports == ()
    assert store.runs.get(run.id).stats == {}


def test_a_claim_travels_through_the_environment(trial, monkeypatch):
    store, told = trial
    env = told(goals=(Goal.MAXIMIZE, Goal.MINIMIZE)).to_env()
    again = Claim.from_env(env)
    assert again == Claim(**{f: getattr(told(), f) for f in ("run_id", "attempt", "sweep_id", "number", "project", "params", "metrics", "dir")},
                          goals=(Goal.MAXIMIZE, Goal.MINIMIZE), store=store.url, logs_kept=True)  # fmt: skip
    assert Claim.from_env({}) is None
    with pytest.raises(TrackError, match="set all of WHET_RUN_ID"):
        Claim.from_env({"WHET_RUN_ID": "x"})


def test_of_a_trials_processes_the_first_tells_its_story(trial):
    store, told = trial
    run = as_trial(told())
    run.log({"batch": 1})
    run.flush()
    code = "import whet; whet.init(); whet.log({'batch': 2}); whet.log({'other': 2}); print(whet.config.lr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **told().to_env()}
    )
    assert (done.returncode, done.stdout) == (0, "0.01\n")
    assert done.stderr.count("\n") == 1
    assert "another process of this trial tells its story: what this one logs is dropped" in done.stderr
    run.finish()
    assert {name: stat.last for name, stat in store.runs.get(run.id).stats.items()} == {"batch": 1}


# -- the end of a process ----------------------------------------------------------------------------------------------------------

BEGIN = """
import os, signal, sys
sys.path.insert(0, {src!r})
from whet.track import face as whet
run = whet.init("p", id="r", dir=sys.argv[1], settings={{"capture": False}})
whet.log({{"a": 1}})
"""


def run_script(tmp_path, body, *, env=None):
    import whet

    text = BEGIN.format(src=str(Path(whet.__file__).parents[1])) + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", text, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "status", "phase", "reason"),
    [
        ("", 0, Phase.FINISHED, ""),
        ("raise ValueError('no such layer')", 1, Phase.FAILED, "ValueError: no such layer"),
        ("sys.exit(3)", 3, Phase.FAILED, "exit status 3"),
        (
            "import threading; t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()",
            0,
            Phase.FINISHED,
            "",
        ),
        ("raise KeyboardInterrupt", -signal.SIGINT, Phase.CANCELED, "interrupted (Ctrl-C)"),
    ],
)
def test_how_a_process_ends_is_how_its_run_ends(tmp_path, body, status, phase, reason):
    assert run_script(tmp_path, body).returncode == status
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    kept = store.runs.get("r")
    assert (kept.phase, kept.reason, kept.stats["a"].count) == (phase, reason, 1)
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_with_runs_of_their_own_lose_nothing(tmp_path):
    done = run_script(
        tmp_path,
        """
        import multiprocessing
        def train(i):
            whet.init("p", id=f"w{i}", dir=sys.argv[1], settings={"capture": False})
            whet.log({"b": i})
            if i == 1:
                raise ValueError("no such layer")
        for i in range(2):
            worker = multiprocessing.get_context("fork").Process(target=train, args=(i,))
            worker.start()
            worker.join()
        whet.log({"a": 2})
        """,
    )
    assert (done.returncode, done.stderr.count("whet:")) == (0, 0)
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    ends = {
        r.id: (r.phase, r.reason, *((k, s.count) for k, s in r.stats.items() if k in "ab"))
        for r in map(store.runs.get, ("r", "w0", "w1"))
    }
    assert ends == {
        "r": (Phase.FINISHED, "", ("a", 2)),
        "w0": (Phase.FINISHED, "", ("b", 1)),
        "w1": (Phase.FAILED, "ValueError: no such layer", ("b", 1)),
    }
    store.close()


def test_runs_that_nobody_ended_end_with_the_process(tmp_path):
    run_script(tmp_path, "for i in range(3): whet.init(id=f'n{i}', dir=sys.argv[1], reinit='create_new', settings=dict(capture=False)).log({'b': 1})\nimport gc; del run; gc.collect()")  # fmt: skip
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    assert [store.runs.get(i).phase for i in ("r", "n0", "n1", "n2")] == [Phase.FINISHED] * 4
    store.close()


def test_a_killed_run_is_brought_home_by_ship_all(tmp_path):
    from whet.track.shipper import ship_all

    done = run_script(
        tmp_path,
        """
        for i in range(5_000):
            whet.log({"a": i})
        run.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert done.returncode == -signal.SIGKILL
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    for again in range(2):
        shipped = ship_all(tmp_path / "runs" / "r", store)
        assert shipped.damaged == 0
        assert again == 0 or shipped.records == 0
        assert store.runs.get("r").stats["a"].count == 5_001
    assert store.runs.get("r").phase is Phase.FAILED
    assert store.runs.get("r").reason == "its process ended without a word (killed?)"
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_write_into_the_spool(tmp_path):
    done = run_script(
        tmp_path,
        """
        child = os.fork()
        if child == 0:
            for _ in range(100):
                whet.log({"from_child": 1})
            whet.summary["from_child"] = 1
            whet.finish()
            sys.exit(0)
        os.waitpid(child, 0)
        whet.log({"a": 2})
        """,
    )
    assert done.stderr.count("a forked process logged something; it is dropped") == 1
    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    kept = store.runs.get("r")
    assert (set(kept.stats), kept.stats["a"].count, kept.phase) == ({"a"}, 2, Phase.FINISHED)
    assert "from_child" not in kept.summary
    store.close()


def test_what_is_printed_is_kept(tmp_path):
    run_script(tmp_path, "print('hello'); print('trouble', file=sys.stderr); whet.finish(); print('after')")
    assert (tmp_path / "runs" / "r" / "output.log").read_text() == "hello\ntrouble\n"


def test_a_store_that_is_away_costs_the_training_nothing(tmp_path, monkeypatch):
    (tmp_path / "whet.db").write_bytes(b"this is no database" * 1000)
    done = run_script(tmp_path, "from whet.track import run as r; r._SHIP_S = 0.2")
    assert done.returncode == 0
    assert "training goes on, everything is kept in" in done.stderr
    assert "whet sync" in done.stderr
    (tmp_path / "whet.db").unlink()
    from whet.track.shipper import ship_all

    store = open_store(f"sqlite:///{tmp_path / 'whet.db'}")
    ship_all(tmp_path / "runs" / "r", store)
    assert store.runs.get("r").stats["a"].count == 1
    assert store.runs.get("r").phase is Phase.FINISHED
    store.close()


def test_a_first_line_that_comes_late_does_not_stop_the_shipper(tmp_path, capsys):
    store = open_store("memory")
    opened = threading.Event()
    shipper = Shipper(tmp_path / "r" / "spool-0", lambda: opened.set() or store, Notices(), gather_s=0.0)
    shipper.wake()
    opened.wait(0.3)
    facts = {"id": "r", "sweep": None, "project": "p", "name": "n", "group": "", "tags": [], "notes": "", "folder": ""}
    writer = SpoolWriter(tmp_path / "r" / "spool-0")
    writer.append(("h", {**facts, "attempt": 0, "owner": "", "config": {}}))
    writer.close()
    assert shipper.close(10)
    assert store.runs.get("r").name == "n"
    assert capsys.readouterr().err == ""


def test_a_read_only_folder_is_refused_at_once(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreUnavailable, match=r"name another one with WHET_DIR or whet\.init\(dir=…\)"):
        face.init(dir=blocked, settings=QUIET)


def test_importing_it_loads_nothing_heavy():
    heavy = ["torch", "numpy", "sqlalchemy", "psutil", "tensorboard", "pynvml", "scipy"]
    code = f"import sys, json; import whet.track.face; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
