"""A store with what a page has to show: sweeps in every state, runs with curves, output and files, and names and values that are unkind."""

from __future__ import annotations

import hashlib
import math
import random
from pathlib import Path

import whet
from whet.store import Store
from whet.store.base import Artifact, Batch, NewRun, Row, SweepState
from whet.trial import Phase

__all__ = ["FILE", "HOSTILE", "MODEL", "fill", "many"]

HOSTILE = "<img src=x onerror=alert(1)> & \"quotes\" 'and' ünïcode " + "long " * 90
STEPS = 20
FILE, MODEL = "best models/50 % #1?.pt", b"weights " * 100


def fill(store: Store, folder: Path) -> dict[str, str]:
    """Fill `store`, whose runs' folders are below `folder`; return the ids of its sweeps by what they are like."""
    draw = random.Random(7)
    ids = {
        "classifier": _classifier(store, draw, 60, SweepState.RUNNING, "image-classifier"),
        "finished": _classifier(store, draw, 25, SweepState.FINISHED, "augmentation"),
        "several": _several(store, draw),
        "failing": _failing(store),
        "pending": _study(
            store, "fine-tune", "default", {"lr": {"min": 1e-6, "max": 1e-3, "distribution": "log_uniform"}}
        ),
        "hostile": _study(store, HOSTILE, "strange", {"<b>x</b>": {"min": 0.0, "max": 1.0}}),
        "wide": _wide(store, draw),
    }
    _alone(store, folder)
    return ids


def _study(store: Store, name: str, project: str, space: dict, **more: object) -> str:
    return whet.create_study(name=name, project=project, space=space, storage=store, **more).id


def _classifier(store: Store, draw: random.Random, num: int, end: SweepState, name: str) -> str:
    study = whet.create_study(
        name=name, project="digits", storage=store, method="random", seed=1, run_cap=100, metrics=["val_loss"], stopper={"name": "median", "startup_trials": 5, "warmup_steps": 5},
        space={
            "lr": {"min": 1e-5, "max": 1e-1, "distribution": "log_uniform"},
            "batch_size": {"values": [32, 64, 128, 256]},
            "dropout": {"min": 0.0, "max": 0.6},
            "optimizer": {"values": ["adam", "sgd", "adamw"]},
            "depth": {"min": 2, "max": 8},
            "weight_decay": {"min": 1e-6, "max": 1e-2, "distribution": "log_uniform"},
        },
    )  # fmt: skip
    for i in range(num):
        trial = study.ask()
        p = trial.params
        if i % 17 == 5:
            study.tell(trial, state=whet.TrialState.FAIL)
            continue
        floor = 0.05 + 0.03 * (math.log10(p["lr"]) + 2.5) ** 2 + 0.2 * (p["dropout"] - 0.2) ** 2 + 0.01 * draw.random()
        ended = False
        for step in range(STEPS):
            trial.report(floor + 2.3 * math.exp(-step / 4) + 0.01 * draw.random(), step)
            if trial.should_prune():
                study.tell(trial, state=whet.TrialState.PRUNED)
                ended = True
                break
        if not ended:
            study.tell(trial, floor + 2.3 * math.exp(-STEPS / 4))
    if end is SweepState.FINISHED:
        store.sweeps.move(study.id, end)
    else:
        study.ask()  # one is under way
    return study.id


def _several(store: Store, draw: random.Random) -> str:
    study = whet.create_study(name="speed-and-quality", project="digits", storage=store, method="random", seed=2, directions=["minimize", "maximize"], metrics=["latency_ms", "accuracy"], space={"width": {"min": 8, "max": 512}, "bits": {"values": [4, 8, 16]}})  # fmt: skip
    for _ in range(30):
        trial = study.ask()
        width, bits = trial.params["width"], trial.params["bits"]
        study.tell(trial, [width * bits / 400 + draw.random(), 0.7 + 0.04 * math.log2(width) - 0.3 / bits])
    store.sweeps.move(study.id, SweepState.PAUSED)
    return study.id


def _failing(store: Store) -> str:
    study = whet.create_study(
        name="out-of-memory",
        project="digits",
        storage=store,
        method="random",
        seed=3,
        space={"batch": {"min": 1, "max": 9}},
    )
    for _ in range(4):
        study.tell(study.ask(), state=whet.TrialState.FAIL)
    return study.id


def _wide(store: Store, draw: random.Random) -> str:
    space = {f"layer{i:03d}.width": {"min": 1, "max": 512} for i in range(200)}
    study = whet.create_study(
        name="two-hundred-parameters", project="strange", storage=store, method="random", seed=4, space=space
    )
    for _ in range(3):
        study.tell(study.ask(), draw.random())
    return study.id


def _alone(store: Store, folder: Path) -> None:
    """Make runs outside of sweeps: with many curves, with values that are no numbers, with output and a file."""
    now = 1_790_000_000.0
    rows = [
        Row(step=s, time=now + s, values={"train/loss": 2.3 * math.exp(-s / 300) + 0.05 * math.sin(s), "train/acc": 1 - math.exp(-s / 400), "lr": 1e-3 * (1 - s / 1000), "grad/norm": 10 ** (2 * math.cos(s / 50)), "gpu.mem": 0.5, "val/loss": 2.4 * math.exp(-s / 280)})
        for s in range(1000)
    ]  # fmt: skip
    own = folder / "runs" / "withcurves"
    own.mkdir(parents=True, exist_ok=True)
    (own / "output.log").write_text("".join(f"epoch {i}: loss {2.3 / (i + 1):.4f}\n" for i in range(300)))
    store.runs.create(
        NewRun(
            id="withcurves",
            project="digits",
            name="baseline",
            owner="",
            config={"model": {"depth": 18, "name": "resnet"}, "lr": 1e-3, "seeds": [1, 2, 3]},
            tags=("keep", "paper"),
            notes="The one in the paper.",
            folder=str(own),
        )
    )
    store.runs.ship(
        "withcurves",
        0,
        "spool",
        0,
        1,
        Batch(
            rows=rows,
            summary={"note": "good", "params_m": 11.2},
            meta={
                "command": ["python", "train.py", "--lr=0.001"],
                "cwd": "/home/me/net/digits",
                "git": {"commit": "0123abcd" * 5, "branch": "main", "root": "/home/me/net", "dirty": True},
                "host": "node-7",
            },
            artifacts=[
                Artifact(name=name, kind="model", path=str(own / name), size=len(MODEL), sha256=digest)
                for name, digest in ((FILE, hashlib.sha256(MODEL).hexdigest()), ("elsewhere.pt", "0" * 64))
            ],
        ),
    )
    store.files.send("withcurves", hashlib.sha256(MODEL).hexdigest(), 0, MODEL)
    store.runs.finish("withcurves", Phase.FINISHED)
    nan = [
        Row(step=s, time=now + s, values={"loss": [1.0, float("nan"), float("inf")][s % 3], "acc": float("nan")})
        for s in range(30)
    ]
    store.runs.create(
        NewRun(id="notnumbers", project="strange", name="diverged", owner="", config={"lr": 10.0, "x": float("inf")})
    )
    store.runs.ship("notnumbers", 0, "spool", 0, 1, Batch(rows=nan))
    store.runs.finish("notnumbers", Phase.FAILED, "loss is NaN at step 1")
    store.runs.create(
        NewRun(
            id="hostilerun",
            project="strange",
            name=HOSTILE,
            owner="",
            config={"<script>alert(1)</script>": "<b>bold</b>"},
            tags=("<i>tag</i>",),
            notes=HOSTILE,
        )
    )
    store.runs.finish("hostilerun", Phase.FINISHED)


def many(store: Store, num: int) -> None:
    """Add `num` runs of a project of their own."""
    draw = random.Random(0)
    for i in range(num):
        id = f"many{i:06d}"
        lr = 10 ** draw.uniform(-5, -1)
        config = {
            "lr": lr,
            "optimizer": draw.choice(["adam", "sgd"]),
            "depth": draw.randint(1, 12),
            "seed": i,
            "dataset": "digits",
        }
        store.runs.create(NewRun(id=id, project="many", name=f"run-{i:05d}", owner="", config=config))
        store.runs.ship(
            id,
            0,
            "spool",
            0,
            1,
            Batch(rows=[Row(step=1, time=float(i), values={"loss": draw.random(), "acc": draw.random()})]),
        )
        store.runs.finish(id, Phase.FINISHED if i % 20 else Phase.FAILED, "" if i % 20 else "CUDA out of memory")


if __name__ == "__main__":
    import sys
    from contextlib import closing

    from whet.store import open_store

    place = Path(sys.argv[1])
    with closing(open_store(str(place / "whet.db"))) as opened:
        print(fill(opened, place))
        if len(sys.argv) > 2:
            many(opened, int(sys.argv[2]))
