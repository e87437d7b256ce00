"""W&B's macros, against what W&B's agent makes of the same parameters, and run for real."""

import json
import subprocess
import sys

import pytest

from whet.config import parse
from whet.errors import ConfigError
from whet.project.command import DEFAULT, expand

PARAMS = {"a": True, "b": False, "c": 1, "d": None, "lr": 1e-05, "s": "x y"}


def sweep(command=None, program="train.py", parameters=None):
    given = {"method": "random", "parameters": parameters or {"a": [1]}, "metric": "loss", "program": program}
    return parse({k: v for k, v in {**given, "command": command}.items() if v is not None})


# Of a, b, c, d these are the lists in W&B's own tests of its agent.
@pytest.mark.parametrize(
    ("macro", "words"),
    [
        ("args", ["--a=True", "--b=False", "--c=1", "--d=None", "--lr=1e-05", "--s=x y"]),
        ("args_no_hyphens", ["a=True", "b=False", "c=1", "d=None", "lr=1e-05", "s=x y"]),
        ("args_no_equals", ["--a", "True", "--b", "False", "--c", "1", "--d", "None", "--lr", "1e-05", "--s", "x y"]),
        ("args_no_boolean_flags", ["--a", "--c=1", "--d=None", "--lr=1e-05", "--s=x y"]),
        ("args_append_hydra", ["+a=True", "+b=False", "+c=1", "+d=None", "+lr=1e-05", "+s=x y"]),
        ("args_override_hydra", ["++a=True", "++b=False", "++c=1", "++d=None", "++lr=1e-05", "++s=x y"]),
        ("args_json", ['{"a": true, "b": false, "c": 1, "d": null, "lr": 1e-05, "s": "x y"}']),
        ("env", ["/usr/bin/env"]),
        ("interpreter", [sys.executable]),
        ("program", ["train.py"]),
        ("envvar:HOME", ["/home/me"]),
    ],
)
def test_macro(macro, words):
    assert expand(sweep([f"${{{macro}}}"]), PARAMS, environ={"HOME": "/home/me"}) == words


def test_the_default_is_wandb_s():
    assert DEFAULT == ("${env}", "${interpreter}", "${program}", "${args}")
    assert expand(sweep(), {"lr": 0.1}, interpreter="py") == ["/usr/bin/env", "py", "train.py", "--lr=0.1"]


def test_nested_parameters_are_one_value_as_in_wandb_and_dots_in_names_stay():
    config = sweep(["${args}", "${args_json}", "${args_override_hydra}"], parameters={
        "opt": {"parameters": {"lr": [0.1], "name": ["sgd"]}}, "model.width": [8],
    })  # fmt: skip
    assert expand(config, {"opt.lr": 0.1, "opt.name": "sgd", "model.width": 8}) == [
        "--opt={'lr': 0.1, 'name': 'sgd'}",
        "--model.width=8",
        '{"opt": {"lr": 0.1, "name": "sgd"}, "model.width": 8}',
        "++opt.lr=0.1",
        "++opt.name=sgd",
        "++model.width=8",
    ]


def test_a_json_file_is_written_to_the_trial_s_folder(tmp_path):
    config = sweep(["run", "--config=${args_json_file}", "${args_json_file}"])
    words = expand(config, PARAMS, folder=tmp_path / "trial 7")
    path = tmp_path / "trial 7" / "args.json"
    assert words == ["run", f"--config={path}", str(path)]
    assert json.loads(path.read_text()) == PARAMS
    with pytest.raises(ConfigError, match="needs a folder to write to"):
        expand(config, PARAMS)


def test_macros_within_a_word_and_what_is_not_ours():
    config = sweep(
        ["--data=${envvar:DATA}/${envvar:SET}", "h=${oc.env:HOME}", "$HOME", "${model.name}x", "--p=${program}"]
    )
    assert expand(config, {}, environ={"DATA": "/d", "SET": "${args}"}) == [
        "--data=/d/${args}",  # what is filled in is not looked at again
        "h=${oc.env:HOME}",
        "$HOME",
        "${model.name}x",
        "--p=train.py",
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["${arg}"], "command[0]: unknown macro ${arg}: did you mean 'args'?"),
        (["x", "${HOME}"], "command[1]: unknown macro ${HOME}: known: "),
        (["${envvar:NOPE}"], "command[0]: ${envvar:NOPE} names an environment variable that is not set: set it"),
        (["--x=${args}"], "command[0]: ${args} stands for several words: give it an item of its own"),
    ],
)
def test_macros_that_can_t_be_filled_in(command, message):
    with pytest.raises(ConfigError) as caught:
        expand(sweep(command), PARAMS, environ={})
    assert str(caught.value).startswith(message)


def test_nothing_to_run():
    with pytest.raises(ConfigError, match="neither a program nor a command: add program"):
        expand(parse({"parameters": {"a": [1]}}), {})
    with pytest.raises(ConfigError, match=r"command names \$\{program\}, and there is none"):
        expand(sweep(["${program}"], program=None), {})


ECHO = "import sys, json; print(json.dumps(sys.argv[1:]))\n"


@pytest.mark.parametrize(
    ("name", "text", "mode", "program"),
    [
        ("train.py", ECHO, 0o644, "train.py"),
        ("train", ECHO, 0o644, "train"),  # a Python file by W&B's rule: nothing says otherwise
        ("train=1.py", ECHO, 0o644, "train=1.py"),
        ("my module.py", ECHO, 0o644, "my module.py"),
        ("run.sh", f'exec "{sys.executable}" echo.py "$@"\n', 0o644, "run.sh"),
        ("run.sh", f'#!/bin/sh\nexec "{sys.executable}" echo.py "$@"\n', 0o755, "run.sh"),
        ("a=b", f'#!/bin/sh\nexec "{sys.executable}" echo.py "$@"\n', 0o755, "a=b"),
        ("bin/go", f'#!/bin/sh\nexec "{sys.executable}" echo.py "$@"\n', 0o755, "bin/go"),
        ("pkg/train.py", ECHO, 0o644, "-m pkg.train"),
        ("app/__main__.py", ECHO, 0o644, "app"),
    ],
)
def test_programs_of_all_kinds_run_with_their_arguments(tmp_path, name, text, mode, program):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    (tmp_path / "echo.py").write_text(ECHO)
    words = expand(sweep(program=program), {"lr": 0.1, "s": "a  'b' $HOME ${args}"}, cwd=tmp_path)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["--lr=0.1", "--s=a  'b' $HOME ${args}"]


def test_a_program_on_the_path_is_run_by_itself(tmp_path):
    assert expand(sweep(program="torchrun"), {"lr": 1}, cwd=tmp_path) == ["/usr/bin/env", "torchrun", "--lr=1"]


def test_env_sets_variables_unless_the_program_looks_like_one():
    words = ["${env}", "CUDA_VISIBLE_DEVICES=0", "${interpreter}", "${program}"]
    assert expand(sweep(words), {}, interpreter="py") == ["/usr/bin/env", "CUDA_VISIBLE_DEVICES=0", "py", "train.py"]
    assert expand(sweep(["${env}"]), {}) == ["/usr/bin/env"]
    assert expand(sweep(words[::3], program="./a=1"), {}) == ["./a=1"]
