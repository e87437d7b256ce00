import os
import subprocess

import pytest

from whet.track import capture


def git(folder, *args):
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "x")
    git(tmp_path, "remote", "add", "origin", "https://user:s3cret@example.org/x.git")
    capture.git.cache_clear()
    return tmp_path


def test_git_and_the_changes_kept_once(repository, tmp_path_factory):
    kept = tmp_path_factory.mktemp("captured")
    (repository / "train.py").write_text("lr = 0.2\n")
    found = [capture.facts(kept, repository, ["train.py"])["git"] for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["branch"] == "main"
    assert len(found[0]["commit"]) == 40
    assert found[0]["remote"] == "https://***@example.org/x.git"
    assert found[0]["dirty"] is True
    assert "+lr = 0.2" in (kept / found[0]["diff"]).read_text()
    assert len(list(kept.iterdir())) == 2  # the changes, and the list of packages


def test_a_huge_diff_is_cut(repository):
    (repository / "train.py").write_text("x = 1\n" * 500_000)
    found = capture.git(repository)
    assert (len(found["diff"]), found["truncated"]) == (1 << 20, True)


def test_no_repository_no_commit_no_git(tmp_path, monkeypatch):
    capture.git.cache_clear()
    assert capture.git(tmp_path) is None
    git(tmp_path, "init")
    capture.git.cache_clear()
    assert capture.git(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    capture.git.cache_clear()
    assert capture.git(tmp_path) is None


def test_a_git_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(capture, "_GIT_S", 0.1)
    capture.git.cache_clear()
    assert capture.git(tmp_path) is None


def test_packages_are_those_of_importlib():
    from importlib.metadata import version

    found = capture.packages()
    assert {name: found[name] for name in ("numpy", "sqlalchemy", "scikit-learn")} == {
        name: version(name) for name in ("numpy", "sqlalchemy", "scikit-learn")
    }


def test_no_secret_is_kept():
    env = {
        "CUDA_VISIBLE_DEVICES": "0", "HF_TOKEN": "hf_x", "HOME": "/root", "WHET_STORE": "postgresql://me:pw@host/db",
        "AWS_SECRET_ACCESS_KEY": "x",
    }  # fmt: skip
    assert capture.environment(env) == {
        "CUDA_VISIBLE_DEVICES": "0", "HF_TOKEN": "***", "WHET_STORE": "postgresql://***@host/db",
    }  # fmt: skip
    words = ["train.py", "--api-key", "abc", "--token=abc", "--lr", "0.1", "--db", "https://me:pw@host/"]
    assert capture.command_line(words) == [
        "train.py", "--api-key", "***", "--token=***", "--lr", "0.1", "--db", "https://***@host/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("--api-key=abc", "--api-key=***"), ("--apikey abc", "--apikey ***"), ("--API_KEY abc", "--API_KEY ***"),
        ("wandb.api_key=abc", "wandb.api_key=***"), ("+db.password=1234", "+db.password=***"), ("--password 1234", "--password ***"),
        ("--secret-key -abc", "--secret-key ***"), ("--hf-token hf", "--hf-token ***"), ("--auth me:pw", "--auth ***"),
        ("--authorization x", "--authorization ***"), ("--db-pass pw", "--db-pass ***"), ("--aws-credentials a/b", "--aws-credentials ***"),
        ("--pwd=x=y", "--pwd=***"), ("--token", "--token"), ("--token --verbose", "--token --verbose"),
        # what only looks like one
        ("--max-tokens 512", "--max-tokens 512"), ("--num_tokens=1e6", "--num_tokens=1e6"), ("--tokenizer bert", "--tokenizer bert"),
        ("--tokenise yes", "--tokenise yes"), ("--keypoints 17a", "--keypoints 17a"), ("--author me", "--author me"),
        ("--monkey patch", "--monkey patch"), ("--use-auth false", "--use-auth false"), ("--bypass x", "--bypass x"), ("--lr=0.1", "--lr=0.1"),
        ("--use-token= train", "--use-token= train"),
        # by what they are
        ("postgresql://me:p@ss@host/db", "postgresql://***@host/db"), ("--url=https://h/x?a=1&token=abc&b=2", "--url=https://h/x?a=1&token=***&b=2"),
        ("https://h/?X-Amz-Signature=abc#top", "https://h/?X-Amz-Signature=***#top"), (f"run {'ghp_' + 30 * 'a'}", "run ***"),
        (f"x=hf_{30 * 'b'},2", "x=***,2"), (f"whet_0123456789_{64 * 'a'}", "***"), (f"sk-proj-{30 * 'c'}", "***"), ("a@b.org", "a@b.org"),
        ("https://host/@name", "https://host/@name"),
    ],
)  # fmt: skip
def test_command_lines_show_no_secret_and_all_else(words, shown):
    assert capture.command_line(words.split()) == shown.split()
    assert capture.command_line(["-H", "Authorization: Bearer abc"]) == ["-H", "Authorization: Bearer ***"]


def test_the_environment_shows_what_is_no_secret():
    env = {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_TOKEN": "x",
        "RAY_AUTH_MODE": "token",
        "WHET_TOKEN": "whet_x",
        "NCCL_KEY": "7",
    }
    assert capture.environment(env) == {
        "TOKENIZERS_PARALLELISM": "false", "HF_HUB_TOKEN": "***", "RAY_AUTH_MODE": "***", "NCCL_KEY": "7",
    }  # fmt: skip


def test_gauges():
    from whet.track.system import Sampler

    values = Sampler().read()
    assert 0 <= values["system/memory_percent"] <= 100
    assert values["system/process_rss_mb"] > 1
    assert all(name.startswith("system/") for name in values)
