from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from whet.store.base import NewRun, Store
from whet.store.owner import here
from whet.study.create import create_study
from whet.track.spool import SpoolWriter, path_of
from whet.trial import Phase, Suggestion

Call = Callable[..., Any]
DEAD = here().split("|")[0] + "|999999|1.00"


# -- export ---------------------------------------------------------------------------------------------------------------


def test_csv_holds_every_run_with_all_digits(whet: Call, digits: str, workspace: Path) -> None:
    result = whet("export", "digits", "-o", "out.csv")
    assert result.stdout == "wrote 6 runs to out.csv\n"
    with (workspace / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert float(rows[0]["value.accuracy"]) == 1 - abs(0.3 - 0.1)
    assert (rows[3]["state"], rows[3]["value.accuracy"]) == ("failed", "")
    assert rows[3]["reason"] == "RuntimeError: out of memory\nTraceback below"
    assert rows[2]["param.lr"] == "0.1"
    assert whet("export", "demo").stdout == (workspace / "out.csv").read_text(encoding="utf-8")


def test_json_holds_the_curves(whet: Call, lone: str, workspace: Path) -> None:
    assert json.loads(whet("export", "solo", "-o", "out.json", "--json").stdout) == {
        "format": "json", "path": "out.json", "num_runs": 1,
    }  # fmt: skip
    found = json.loads((workspace / "out.json").read_text(encoding="utf-8"))
    (run,) = found["runs"]
    assert found["sweep"] is None
    assert run["curves"]["loss"]["values"] == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert run["curves"]["loss"]["steps"] == [0, 1, 2, 3]


def test_parquet_has_typed_columns(whet: Call, store: Store, digits: str, workspace: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for id, x in (("aaaa000011", 1), ("aaaa000012", "auto"), ("aaaa000013", [1, 2])):
        store.runs.create(NewRun(id=id, project="demo", name=id, owner=here(), config={"x": x}))
    assert whet("export", "demo", "-o", "out.parquet").exit_code == 0
    table = pq.read_table(workspace / "out.parquet").to_pydict()
    assert table["param.lr"][:6] == [0.3, 0.3, 0.1, 0.1, 0.01, 0.01]
    assert table["trial"] == [0, 1, 2, 3, 4, 5, None, None, None]
    assert table["value.accuracy"][3] is None
    assert table["param.x"][6:] == ["1", "auto", "[1, 2]"]  # of several types, so text


def test_tensorboard_gets_curves_parameters_and_results(whet: Call, digits: str, lone: str, workspace: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    result = whet("export", "demo", "--format", "tensorboard", "-o", "tb")
    assert result.exit_code == 0, result.stderr
    assert whet("export", "solo", "--format", "tensorboard", "-o", "tb2").exit_code == 0

    def read(folder: Path) -> tuple[Any, dict[str, Any]]:
        events = EventAccumulator(str(folder)).Reload()
        told = events.PluginTagToContent(metadata.PLUGIN_NAME)
        start = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
        end = metadata.parse_session_end_info_plugin_data(told[metadata.SESSION_END_INFO_TAG])
        hparams = {k: getattr(v, v.WhichOneof("kind")) for k, v in start.hparams.items()}
        return events, {"hparams": hparams, "status": end.status}

    folders = sorted((workspace / "tb").iterdir(), key=lambda p: p.name)
    assert len(folders) == 6
    events, session = read(folders[2])
    assert session == {"hparams": {"lr": 0.1, "width": 8.0, "epochs": 5.0}, "status": api_pb2.STATUS_SUCCESS}
    assert [e.value for e in events.Scalars("accuracy")] == [1.0]
    assert read(folders[3])[1]["status"] == api_pb2.STATUS_FAILURE
    (solo,) = (workspace / "tb2").iterdir()
    assert [(e.step, e.wall_time) for e in read(solo)[0].Scalars("loss")] == [(i, 1000.0 + i) for i in range(4)]


def test_optuna_reads_an_exported_sweep(whet: Call, digits: str, lone: str, workspace: Path) -> None:
    optuna = pytest.importorskip("optuna")
    assert whet("export", "digits", "--format", "optuna", "-o", "optuna.db").exit_code == 0
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{workspace / 'optuna.db'}")
    assert (study.best_value, study.best_params) == (1.0, {"lr": 0.1, "width": 8, "epochs": 5})
    assert [t.state.name for t in study.trials].count("FAIL") == 1
    assert study.trials[0].intermediate_values == pytest.approx({0: 0.5, 1: 0.6, 2: 0.7})
    assert whet("export", "solo", "--format", "optuna", "-o", "solo.db").stderr.startswith(
        "whet: a project is no study"
    )


def test_an_export_overwrites_nothing_and_says_what_it_wants(whet: Call, digits: str, workspace: Path) -> None:
    (workspace / "out.csv").write_text("mine", encoding="utf-8")
    for args, said in (
        (["digits", "-o", "out.csv"], "whet: out.csv is there already\n  → choose another, or overwrite it with --force\n"),
        (["digits", "-o", "out.txt"], "whet: out.txt does not say what to write\n  → add --format csv|json|parquet|tensorboard|optuna\n"),
        (["digits", "--format", "optuna"], "whet: optuna can't go to the terminal\n  → name a file with -o\n"),
        (["digits", "--format", "parquet"], "whet: parquet can't go to the terminal\n  → name a file with -o\n"),
        (["digitz"], "whet: no sweep and no project 'digitz'\n  → did you mean 'digits'? known: digits, "),
        (["digits", "-o", "no/such/out.csv"], "whet: no/such/out.csv can't be written (No such file or directory)\n"),
    ):  # fmt: skip
        result = whet("export", *args)
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith(said)
    assert (workspace / "out.csv").read_text(encoding="utf-8") == "mine"
    assert whet("export", "digits", "-o", "out.csv", "--force").exit_code == 0


def test_an_export_of_nothing_is_told(whet: Call, store: Store, workspace: Path) -> None:
    create_study(name="new", storage=store, space={"parameters": {"x": {"values": [1]}}})
    result = whet("export", "new", "-o", "out.csv")
    assert (result.exit_code, result.stderr) == (
        1,
        "whet: 'new' has no run yet\n  → whet ls --sweeps shows which have\n",
    )
    assert not (workspace / "out.csv").exists()


def test_a_missing_package_is_told_with_its_extra(whet: Call, digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = whet("export", "digits", "-o", "out.parquet")
    assert result.exit_code == 1
    assert result.stderr == (
        "whet: export --format parquet needs the package 'pyarrow'\n  → pip install \"whet[parquet]\"\n"
    )


# -- rm -------------------------------------------------------------------------------------------------------------------


def test_rm_removes_runs_and_what_they_left(whet: Call, store: Store, lone: str, workspace: Path) -> None:
    folder = workspace / ".whet" / "runs" / lone
    folder.mkdir(parents=True)
    (folder / "output.log").write_text("x" * 2000, encoding="utf-8")
    assert whet("rm", lone).stderr == (
        "whet: rm asks before it removes, and there is no terminal to ask on\n  → add -y to remove without asking\n"
    )
    assert folder.exists()
    assert whet("rm", "first", "-y").stdout == "removed 1 run, 2.0 kB freed\n"
    assert not folder.exists()
    assert json.loads(whet("ls", "--json").stdout) == []


def test_rm_removes_a_sweep_whole_or_not_at_all(whet: Call, store: Store, digits: str) -> None:
    run = store.runs.find("digits-0")
    refused = whet("rm", "digits-0", "-y")
    assert refused.stderr == (
        f"whet: run {run.id} is trial 0 of sweep {digits}, whose search rests on it\n  → remove the whole sweep: whet rm {digits}\n"
    )
    found = json.loads(whet("rm", "digits", "-y", "--json").stdout)
    assert (len(found["runs"]), found["sweeps"]) == (6, [digits])
    assert store.sweeps.all() == []


def test_rm_leaves_what_runs_but_not_what_is_lost(whet: Call, store: Store) -> None:
    store.runs.create(NewRun(id="aaaa000021", project="solo", name="alive", owner=here()))
    store.runs.create(NewRun(id="aaaa000022", project="solo", name="dead", owner=DEAD))
    study = create_study(name="busy", storage=store, space={"parameters": {"x": {"values": [1]}}}, seed=1)
    store.trials.add(study.id, 0, Suggestion(params={"x": 1}), owner=here(), seen=0)
    assert whet("rm", "alive", "-y").stderr.startswith("whet: run aaaa000021 is running\n  → end its process first")
    assert f"end it first: whet sweep {study.id} --cancel" in whet("rm", "busy", "-y").stderr
    assert whet("rm", "dead", "-y").exit_code == 0
    assert sorted(run["name"] for run in json.loads(whet("ls", "--json").stdout)) == ["alive", "busy-0"]


# -- sync -----------------------------------------------------------------------------------------------------------------


def _spool(folder: Path, id: str, owner: str) -> None:
    header = {"id": id, "attempt": 0, "sweep": None, "number": None, "project": "solo", "name": "away", "named": True, "owner": owner,
              "config": {"lr": 1}, "group": "", "tags": [], "notes": "", "folder": str(folder)}  # fmt: skip
    writer = SpoolWriter(path_of(folder, 0))
    writer.append(["h", header])
    for step in range(3):
        writer.append(["r", step, 1000.0 + step, {"loss": 1.0 / (step + 1)}])
    writer.append(["f", ["finished", ""]])
    assert writer.close()


def test_sync_sends_what_was_logged_without_a_store_and_once(whet: Call, store: Store, workspace: Path) -> None:
    folder = workspace / ".whet" / "runs" / "aaaa000031"
    _spool(folder, "aaaa000031", here())
    first = whet("sync")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[-1] == "1 run looked at, 1 had something to send"
    run = store.runs.get("aaaa000031")
    assert (run.phase, run.stats["loss"].last, run.config["lr"]) == (Phase.FINISHED, 1 / 3, 1)
    assert whet("sync").stdout == "1 run looked at, all is in the store\n"
    again = json.loads(whet("sync", str(folder), "--json").stdout)
    assert again == {
        "runs": [{"run": "aaaa000031", "records": 0, "damaged": 0, "files": 0, "bytes": 0, "left": {}}],
        "troubles": [],
    }
    assert whet("sync", str(workspace)).stderr.startswith(f"whet: {workspace} is no run's folder")
    # A run that is removed does not come back.
    assert whet("rm", "aaaa000031", "-y").exit_code == 0
    assert whet("sync").stdout == "0 runs looked at, all is in the store\n"


def test_sync_makes_nothing_and_says_what_it_could_not_send(whet: Call, workspace: Path) -> None:
    assert whet("sync").stdout == "0 runs looked at, all is in the store\n"
    assert list(workspace.iterdir()) == []
    folder = workspace / ".whet" / "runs" / "aaaa000032"
    _spool(folder, "aaaa000032", here())
    (path,) = folder.glob("spool-*")
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])  # its header is lost, and the store knows nothing of it
    result = whet("sync")
    assert result.exit_code == 1
    *_, trouble, last = result.stdout.splitlines()
    assert trouble.startswith("aaaa000032  left where it is: ")
    assert last == "1 run looked at, 1 could not be sent"


# -- doctor ---------------------------------------------------------------------------------------------------------------


def _checks(result: Any) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(result.stdout) if check["name"] != "optional"}


def test_doctor_finds_all_well(whet: Call, digits: str) -> None:
    result = whet("doctor", "--json")
    checks = _checks(result)
    assert {"whet", "python", "machine", "store", "database", "workers", "disk", "writing"} <= checks.keys()
    assert ".whet/whet.db: 1 sweep, 6 runs" in checks["store"]["found"]
    assert result.exit_code == (1 if checks["disk"]["level"] == "wrong" else 0)


def test_doctor_makes_nothing(whet: Call, workspace: Path) -> None:
    assert _checks(whet("doctor", "--json"))["store"]["found"].startswith("none yet; it will be made at ")
    assert list(workspace.iterdir()) == []


def test_doctor_finds_lost_workers_and_says_what_to_do(whet: Call, store: Store) -> None:
    study = create_study(name="gone", storage=store, space={"parameters": {"x": {"values": [1]}}}, seed=1)
    store.trials.add(study.id, 0, Suggestion(params={"x": 1}), owner=DEAD, seen=0)
    store.runs.create(NewRun(id="aaaa000041", project="solo", name="dead", owner=DEAD))
    result = whet("doctor", "--json")
    workers = _checks(result)["workers"]
    assert result.exit_code == 1
    assert workers["found"].startswith("2 runs called running, whose process is gone: ")
    assert (
        workers["fix"]
        == f"whet agent {study.id} hands its lost trials out again; whet sync sends what is left of aaaa000041 and ends it"
    )
    assert whet("doctor").stdout.splitlines()[-1].endswith("to mend")


def test_doctor_finds_a_damaged_store(whet: Call, store: Store, digits: str, workspace: Path) -> None:
    store.close()
    path = workspace / ".whet" / "whet.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    healthy = workspace / "healthy.db"
    shutil.copy(path, healthy)
    data = bytearray(path.read_bytes())
    middle = len(data) // 4096 // 2 * 4096
    data[middle : middle + 8192] = b"\xff" * 8192
    path.write_bytes(data)
    result = whet("doctor", "--json")
    found = [c for c in json.loads(result.stdout) if c["name"] in ("store", "database") and c["level"] == "wrong"]
    assert result.exit_code == 1
    assert any("damaged" in c["found"] and ".recover" in c["fix"] for c in found)


def test_doctor_finds_a_store_that_can_not_be_opened(whet: Call, workspace: Path) -> None:
    (workspace / "file").write_text("in the way", encoding="utf-8")
    result = whet("--store", "sqlite:///file/below/whet.db", "doctor", "--json")
    assert result.exit_code == 1
    assert _checks(result)["store"]["found"] == "file/below/whet.db can't be written (Not a directory)"
