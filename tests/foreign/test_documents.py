from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whet.errors import TrackError
from whet.foreign.reading import document
from whet.trial import Phase


def test_results_beside_a_configuration(tmp_path: Path, take: Any, store: Any) -> None:
    for i in range(2):
        folder = tmp_path / f"run{i}"
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "config.yaml").write_text(f"lr: {i}\n")
        (folder / "metrics.json").write_text(json.dumps({"acc": i / 2, "per_class": {"a": 1}}))
    runs = take().runs
    assert [(run.name, run.kind) for run in runs] == [("run0", "json"), ("run1", "json")]
    kept = store.runs.get(runs[1].id)
    assert (kept.config, kept.summary) == ({"lr": 1}, {"acc": 0.5, "per_class": {"a": 1}})


def test_one_document_that_is_named(tmp_path: Path, take: Any, store: Any) -> None:
    path = tmp_path / "out.json"
    path.write_text(
        json.dumps({"args": {"lr": 0.1}, "seed": 3, "test_loss": 0.5, "history": [{"loss": 2}, {"loss": 1}]})
    )
    (run,) = take(path).runs
    kept = store.runs.get(run.id)
    assert (kept.config, kept.summary) == ({"lr": 0.1, "seed": 3}, {"test_loss": 0.5})
    assert store.runs.metrics(run.id)["loss"].values == [2, 1]


def test_keras_history(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "history.json").write_text('{"loss": [3, 2, NaN], "acc": [0.1, 0.2, 0.3]}')
    (tmp_path / "params.yaml").write_text("lr: 0.1\n")
    (run,) = take().runs
    assert (run.num_points, store.runs.get(run.id).config) == (6, {"lr": 0.1})
    assert store.runs.metrics(run.id)["acc"].steps == [0, 1, 2]


def test_hugging_faces_trainer(tmp_path: Path, take: Any, store: Any) -> None:
    out = tmp_path / "out"

    def checkpoint(step: int, *, more: list[dict[str, float]] = []) -> dict[str, Any]:  # noqa: B006
        log = [{"epoch": s / 10, "step": s, "loss": 1 / s, "learning_rate": 1e-4} for s in range(1, step + 1)]
        return {
            "log_history": log + more, "global_step": step, "max_steps": 10, "num_train_epochs": 1, "train_batch_size": 8,
            "best_metric": 0.5, "trial_params": {"lr": 3e-4}, "trial_name": None,
        }  # fmt: skip

    for step in (3, 10):
        (out / f"checkpoint-{step}").mkdir(parents=True)
        (out / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(checkpoint(step)))
        (out / f"checkpoint-{step}" / "training_args.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    (run,) = take(out).runs
    assert (run.kind, run.metrics, run.num_points) == ("huggingface", ("epoch", "learning_rate", "loss"), 30)
    (out / "trainer_state.json").write_text(json.dumps(checkpoint(10, more=[{"step": 10, "train_runtime": 60.0}])))
    (out / "all_results.json").write_text('{"eval_loss": 0.25}')
    (again,) = take(out).runs
    assert (again.id, again.num_points) == (run.id, 1)
    kept = store.runs.get(run.id)
    assert kept.config == {"max_steps": 10, "num_train_epochs": 1, "train_batch_size": 8, "lr": 3e-4}
    assert (kept.summary["best_metric"], kept.summary["eval_loss"], kept.phase) == (0.5, 0.25, Phase.FINISHED)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", "{", "is no JSON .*line 1 column 2"),
        ("x.yaml", "a: 1\nb: [2}", "is no YAML .*line 2"),
        ("x.json", "[" * 100_000, "nested too deeply"),
        ("x.yaml", "[" * 100_000, "nested too deeply"),
        ("x.yaml", "- " * 2000, "holds too much|nested too deeply"),
        ("x.yaml", "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{b}: &{b} [{', '.join('*' + a for _ in range(9))}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)), "holds too much"),
    ],
)  # fmt: skip
def test_hostile_documents(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrackError, match=said):
        document(tmp_path / name)


def test_tags_of_yaml_run_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    target = tmp_path / "made"
    path.write_text(
        f"a: !!python/object/apply:os.mkdir ['{target}']\nb: !!python/name:os.system ''\nwhen: 2024-01-01\n"
    )
    assert document(path) == {"a": [str(target)], "b": "", "when": "2024-01-01"}
    assert not target.exists()


def test_large_files_links_and_pipes_are_refused(tmp_path: Path, monkeypatch: Any) -> None:
    import os

    from whet.foreign import reading

    (tmp_path / "x.json").write_text("[1]")
    (tmp_path / "link.json").symlink_to(tmp_path / "x.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(TrackError, match="can't be read"):
        document(tmp_path / "link.json")
    with pytest.raises(TrackError, match="is no regular file"):
        document(tmp_path / "pipe.json")
    monkeypatch.setattr(reading, "_JSON_BYTES", 2)
    with pytest.raises(TrackError, match="has more than 2 bytes"):
        document(tmp_path / "x.json")


def test_of_two_histories_none_is_lost(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "history.json").write_text(json.dumps([{"step": 5, "acc": 1, "loss": 7}, {"step": 6, "acc": 2}]))
    take()
    (tmp_path / "metrics.json").write_text(json.dumps([{"step": 0, "f1": 1}]))
    (tmp_path / "results.yaml").write_text("best: 0.5\n")
    (run,) = take().runs
    curves = store.runs.metrics(run.id)
    assert {name: curve.steps for name, curve in curves.items()} == {"acc": [5, 6], "loss": [5], "f1": [0]}
    assert store.runs.get(run.id).summary == {"best": 0.5}


def test_what_two_documents_tell_is_told_once(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"loss": [2, 1], "step": [3, 4]}))
    (tmp_path / "history.json").write_text(json.dumps([{"step": 3, "loss": 2, "acc": 1}]))
    (run,) = take().runs
    curves = store.runs.metrics(run.id)
    assert {name: (curve.steps, curve.values) for name, curve in curves.items()} == {
        "loss": ([3, 4], [2, 1]),
        "acc": ([3], [1]),
    }


def test_columns_may_begin_without_a_number(tmp_path: Path, take: Any, store: Any) -> None:
    (tmp_path / "history.json").write_text('{"loss": [3, 2], "val_loss": [null, 0.5], "lr": []}')
    (run,) = take().runs
    curves = store.runs.metrics(run.id)
    assert (curves["loss"].values, curves["val_loss"].steps, curves["val_loss"].values) == ([3, 2], [1], [0.5])
