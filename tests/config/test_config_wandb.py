"""W&B's files parse unchanged, and values lie where W&B's definition says."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from whet.config import dump, load, nest, parameter_from, parse, to_mapping
from whet.errors import ConfigError
from whet.space import Beta, Choice, Float, Int, Normal
from whet.trial import Goal

BASIC = """
program: train.py
name: sweepdemo
method: bayes
metric:
  goal: minimize
  name: validation_loss
parameters:
  learning_rate:
    min: 0.0001
    max: 0.1
  batch_size:
    values: [16, 32, 64]
  epochs:
    values: [5, 10, 15]
  optimizer:
    values: ["adam", "sgd"]
"""

QUANTISED = """
method: random
metric: {name: loss, goal: minimize}
parameters:
  optimizer: {values: [adam, sgd]}
  fc_layer_size: {values: [128, 256, 512]}
  dropout: {values: [0.3, 0.4, 0.5]}
  epochs: {value: 1}
  learning_rate:
    # a flat distribution between 0 and 0.1
    distribution: uniform
    min: 0
    max: 0.1
  batch_size:
    # integers between 32 and 256 with evenly-distributed logarithms
    distribution: q_log_uniform_values
    q: 8
    min: 32
    max: 256
"""

NESTED = """
description: sweep using nested params
program: train-nested.py
project: nested-examples
entity: my-team
method: grid
metric:
  name: loss
  goal: minimize
parameters:
  batch_size:
    values: [32, 64]
  optimizer:
    parameters:
      lr:
        values: [0.001, 0.0001]
      nadam:
        parameters:
          beta:
            values: [0.9, 0.95]
"""

HYPERBAND = """
apiVersion: 1
kind: sweep
controller:
  type: local
program: train.py
method: bayes
metric:
  name: val_acc
  goal: maximize
  target: 0.99
  impute: worst
  impute_while_running: latest
early_terminate:
  type: hyperband
  s: 2
  eta: 3
  max_iter: 27
  strict: true
run_cap: 50
parameters:
  lr:
    distribution: log_uniform
    min: -9.21
    max: -2.3
  hidden:
    distribution: q_log_uniform
    q: 1
    min: 3.4657
    max: 5.545
  depth:
    distribution: int_uniform
    min: 2
    max: 8
"""

COMMAND = """
program: main.py
command:
  - ${env}
  - CUDA_VISIBLE_DEVICES=${envvar:GPU}
  - ${interpreter}
  - -u
  - ${program}
  - --epochs
  - 10
  - ${args_no_boolean_flags}
method: random
metric: {name: test/F1@5, goal: maximize}
parameters:
  ++model.contrastive_weight: {distribution: uniform, min: 0.5, max: 20}
  use_bn: {values: [true, false]}
  weight_decay: {distribution: inv_log_uniform_values, min: 1e-5, max: 1e-2}
"""

PROBABILITIES = """
method: random
parameters:
  activation:
    distribution: categorical_w_probabilities
    values: [relu, gelu, silu]
    probabilities: [0.33, 0.33, 0.33]
  noise: {distribution: normal, mu: 1, sigma: 0.1}
  scale: {distribution: log_normal, mu: 0, sigma: 0.5}
  steps: {distribution: q_normal, mu: 100, sigma: 10, q: 5}
  share: {distribution: beta, a: 5, b: 2}
  share_q: {distribution: q_beta, a: 5, b: 2, q: 0.1}
  widths: {values: [[64, 64], [128]]}
"""

WALKTHROUGH = """
program: train.py
project: sweep_walkthrough
entity: your-entity
method: bayes
metric:
  name: val_loss
  goal: minimize
parameters:
  lr:
    min: !!float 1e-5
    max: !!float 1e-1
  batch_size:
    distribution: q_log_uniform_values
    q: 8
    min: 32
    max: 256
  epochs:
    value: 10
  dropout:
    values: [0.3, 0.4, 0.5]
  optimizer:
    distribution: categorical
    values:
      - adam
      - sgd
early_terminate:
  type: hyperband
  min_iter: 3
"""

LAUNCH = """
description: Launch sweep
method: bayes
job: wandb/sweeps-on-launch/job-fashion-mnist:latest
image_uri: repo/image:tag
run_cap: 5
metric:
  name: epoch/val_accuracy
  goal: maximize
parameters:
  learning_rate:
    min: 0.0001
    max: 0.1
scheduler:
  job: wandb/sweep-jobs/job-wandb-sweep-scheduler:latest
  num_workers: 8
  resource: local-process
  resource_args: {local-container: {env: [A=1]}}
"""

KERAS = """
program: sweep-keras.py
method: bayes
controller: {type: local}
metric:
  name: val_accuracy
  goal: maximize
  impute: worst
early_terminate: {type: hyperband, min_iter: 3, eta: 2, strict: true}
parameters:
  label_smoothing: {distribution: normal, mu: 0.1, sigma: 0.02}
  hidden_layer_size: {distribution: q_uniform, min: 32, max: 512, q: 32}
  layers: {distribution: q_normal, mu: 4, sigma: 1}
  decay: {values: [1e-5, 1e-6, 1e-5]}
  data_dir: {value: ./data}
  betas: {values: [[0.9, 0.999], [0.8, 0.99]]}
  augment: {parameters: {flip: {values: [true, false]}, cutout: {min: 0, max: 16}}}
"""

EVERY = """
method: random
program: a.py
metric: {name: loss}
parameters:
  c: {distribution: constant, value: 3}
  cat: {distribution: categorical, values: [a, 1, 0.5, true, null]}
  catp: {distribution: categorical_w_probabilities, values: [a, b], probabilities: [0.1, 0.9]}
  catp2: {values: [a, b], probabilities: [0.1, 0.9]}
  iu: {distribution: int_uniform, min: 1, max: 8}
  u: {distribution: uniform, min: 0, max: 1}
  qu: {distribution: q_uniform, min: 0, max: 100, q: 10}
  lu: {distribution: log_uniform, min: -6.9078, max: -2.3026}
  luv: {distribution: log_uniform_values, min: 0.001, max: 0.1}
  qlu: {distribution: q_log_uniform, min: 0, max: 6, q: 1}
  qluv: {distribution: q_log_uniform_values, min: 1, max: 400, q: 1}
  ilu: {distribution: inv_log_uniform, min: 2.3, max: 6.9}
  iluv: {distribution: inv_log_uniform_values, min: 0.001, max: 0.1}
  n: {distribution: normal, mu: 0, sigma: 1}
  qn: {distribution: q_normal, mu: 100, sigma: 20, q: 5}
  ln: {distribution: log_normal, mu: -3, sigma: 1}
  qln: {distribution: q_log_normal, mu: 3, sigma: 1, q: 2}
  b: {distribution: beta, a: 2, b: 5}
  qb: {distribution: q_beta, a: 2, b: 5, q: 0.05}
"""


def test_basic_file():
    config = parse(BASIC)
    assert dict(config.problem.space) == {
        "learning_rate": Float(1e-4, 0.1),
        "batch_size": Choice([16, 32, 64]),
        "epochs": Choice([5, 10, 15]),
        "optimizer": Choice(["adam", "sgd"]),
    }
    assert (config.method.name, config.problem.metric.name, config.program) == ("bayes", "validation_loss", "train.py")
    assert config.problem.metric.goal is Goal.MINIMIZE


def test_quantised_file():
    space = parse(QUANTISED).problem.space
    assert space["batch_size"] == Int(32, 256, log=True, step=8)
    assert space["learning_rate"] == Float(0, 0.1)
    assert space["epochs"] == Choice([1])


def test_nested_file_is_flat_inside_and_nested_outside():
    config = parse(NESTED)
    assert list(config.problem.space) == ["batch_size", "optimizer.lr", "optimizer.nadam.beta"]
    values = {"batch_size": 32, "optimizer.lr": 0.001, "optimizer.nadam.beta": 0.9}
    assert nest(values, config.nested) == {"batch_size": 32, "optimizer": {"lr": 0.001, "nadam": {"beta": 0.9}}}
    assert to_mapping(config)["parameters"]["optimizer"] == {
        "parameters": {"lr": {"values": [0.001, 0.0001]}, "nadam": {"parameters": {"beta": {"values": [0.9, 0.95]}}}}
    }
    assert config.extra == {"entity": "my-team"}


def test_hyperband_file_and_exponents():
    config = parse(HYPERBAND)
    lr, hidden = config.problem.space["lr"], config.problem.space["hidden"]
    assert (lr.low, lr.high, lr.log) == (math.exp(-9.21), math.exp(-2.3), True)
    assert hidden == Int(32, 255, log=True)  # e**5.545 is 255.95
    assert config.problem.space["depth"] == Int(2, 8)
    assert config.notices == (
        "parameters.lr: min and max are natural-log exponents, so values lie between 0.000100034 and 0.100259 "
        "(write these with log_uniform_values to say so plainly)",
        "parameters.hidden: min and max are natural-log exponents, so values lie between 31.9989 and 255.955 "
        "(write these with log_uniform_values to say so plainly)",
    )
    assert config.stopper.name == "hyperband"
    assert config.stopper.knobs == {"s": 2, "eta": 3, "max_iter": 27, "strict": True}
    assert (config.run_cap, config.problem.metric.target, config.problem.metric.goal) == (50, 0.99, Goal.MAXIMIZE)
    assert config.extra["impute"] == {"val_acc": {"impute": "worst", "impute_while_running": "latest"}}
    assert to_mapping(config)["metric"]["impute"] == "worst"
    assert to_mapping(config)["controller"] == {"type": "local"}


def test_command_file():
    config = parse(COMMAND)
    assert config.command[:2] == ("${env}", "CUDA_VISIBLE_DEVICES=${envvar:GPU}")
    assert config.command[5:7] == ("--epochs", "10")
    assert config.problem.space["use_bn"] == Choice([True, False])
    assert config.problem.space["weight_decay"] == Float(1e-5, 1e-2, log=True)
    assert config.problem.space["++model.contrastive_weight"] == Float(0.5, 20)


def test_probabilities_file():
    space = parse(PROBABILITIES).problem.space
    assert space["activation"] == Choice(["relu", "gelu", "silu"], weights=[0.33] * 3)
    assert space["noise"] == Float(-math.inf, math.inf, shape=Normal(1, 0.1))
    assert space["steps"] == Int(20, 180, step=5, shape=Normal(100, 10))
    assert space["share_q"] == Float(0, 1, step=0.1, shape=Beta(5, 2))
    assert space.clean({**space.sample(random.Random(0)), "widths": [128]})["widths"] == [128]


@pytest.mark.parametrize(
    "text", [BASIC, QUANTISED, NESTED, HYPERBAND, COMMAND, PROBABILITIES, WALKTHROUGH, LAUNCH, KERAS, EVERY]
)
def test_files_come_back(text, tmp_path):
    config = parse(text)
    assert parse(to_mapping(config)) == config
    path = tmp_path / "sweep.yaml"
    path.write_text(dump(config), encoding="utf-8")
    assert load(path) == config


def test_typed_numbers_notices_and_launch_keys():
    space = parse(WALKTHROUGH).problem.space
    assert (space["lr"], space["epochs"]) == (Float(1e-5, 0.1), Choice([10]))
    assert parse(LAUNCH).extra.keys() == {"job", "image_uri", "scheduler"}
    config = parse(KERAS)
    assert config.problem.space["decay"] == Choice([1e-5, 1e-6], weights=[2, 1])
    assert config.problem.space["augment.cutout"] == Int(0, 16)
    assert len(config.notices) == 1


def test_samples_of_every_distribution_lie_where_wandb_s_do():
    space, rng = parse(EVERY).problem.space, random.Random(0)
    rows = [space.sample(rng) for _ in range(200)]
    within = {"iu": (1, 8), "u": (0, 1), "qu": (0, 100), "lu": (0.00099, 0.101), "luv": (0.001, 0.1), "qlu": (1, 403),
              "qluv": (1, 400), "ilu": (0.00099, 0.101), "iluv": (0.001, 0.1), "n": (-5, 5), "qn": (0, 200), "ln": (0, 3),
              "qln": (0, 1000), "b": (0, 1), "qb": (0, 1)}  # fmt: skip
    for name, (low, high) in within.items():
        assert all(low <= row[name] <= high for row in rows), name
    assert sum(row["catp"] == "b" for row in rows) > 140
    assert {row["cat"] for row in rows} == {"a", 1, 0.5, None}
    assert all(isinstance(row[name], int) for row in rows for name in ("iu", "qu", "qlu", "qluv", "qn", "qln"))


def test_custom_method_is_accepted_and_says_what_happens():
    text = "{method: custom, scheduler: {engine: optuna}, metrics: [{name: a}, {name: b, goal: maximize}], parameters: {x: [1, 2]}}"
    config = parse(text)
    assert config.method.name == "bayes"
    assert config.extra == {"scheduler": {"engine": "optuna"}}
    assert [(m.name, m.goal) for m in config.problem.metrics] == [("a", Goal.MINIMIZE), ("b", Goal.MAXIMIZE)]
    assert config.notices == (
        "method custom hands the search to W&B's own scheduler; Whet searches with bayes instead",
    )


E4, E1 = math.log(1e-4), math.log(1e-1)
CONTINUOUS = [
    ({"distribution": "uniform", "min": -1, "max": 3}, stats.uniform(-1, 4)),
    ({"min": 0, "max": 0.5}, stats.uniform(0, 0.5)),
    ({"distribution": "log_uniform", "min": E4, "max": E1}, stats.loguniform(1e-4, 1e-1)),
    ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1}, stats.loguniform(1e-4, 1e-1)),
    ({"distribution": "inv_log_uniform", "min": -E1, "max": -E4}, stats.loguniform(1e-4, 1e-1)),
    ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1e-1}, stats.loguniform(1e-4, 1e-1)),
    ({"distribution": "normal"}, stats.norm(0, 1)),
    ({"distribution": "normal", "mu": 3, "sigma": 0.2}, stats.norm(3, 0.2)),
    ({"distribution": "log_normal", "mu": -2, "sigma": 0.7}, stats.lognorm(0.7, scale=math.exp(-2))),
    ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
]


@pytest.mark.parametrize(("form", "peer"), CONTINUOUS, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_continuous_distributions_have_wandb_s_quantiles(form, peer):
    parameter = parameter_from(form)
    u_N = np.linspace(0.001, 0.999, 41)
    np.testing.assert_allclose([parameter.decode(u) for u in u_N], peer.ppf(u_N), rtol=1e-9, atol=1e-12)


QUANTISED_FORMS = [
    ({"distribution": "q_uniform", "min": 1, "max": 100, "q": 5}, stats.uniform(1, 99)),
    ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.05}, stats.uniform(0, 1)),
    ({"distribution": "q_log_uniform", "min": math.log(32), "max": math.log(257), "q": 1}, stats.loguniform(32, 257)),
    ({"distribution": "q_log_uniform_values", "min": 16, "max": 512, "q": 16}, stats.loguniform(16, 512)),
    ({"distribution": "q_normal", "mu": 50, "sigma": 10, "q": 2}, stats.norm(50, 10)),
    ({"distribution": "q_normal", "mu": 0, "sigma": 1, "q": 0.25}, stats.norm(0, 1)),
    ({"distribution": "q_log_normal", "mu": 4, "sigma": 0.5}, stats.lognorm(0.5, scale=math.exp(4))),
    ({"distribution": "q_beta", "a": 2, "b": 3, "q": 0.1}, stats.beta(2, 3)),
    ({"distribution": "int_uniform", "min": 3, "max": 9}, stats.randint(3, 10)),
]


@pytest.mark.parametrize(("form", "peer"), QUANTISED_FORMS, ids=lambda v: str(v) if isinstance(v, dict) else "")
def test_quantised_distributions_give_multiples_of_q_near_wandb_s_quantiles(form, peer):
    parameter, q = parameter_from(form), form.get("q", 1)
    u_N = np.linspace(0.02, 0.98, 60)
    values = np.array([parameter.decode(u) for u in u_N])
    assert all(isinstance(parameter.decode(u), int if isinstance(q, int) else float) for u in u_N)
    np.testing.assert_allclose(values / q, np.round(values / q), atol=1e-6)
    if "min" in form and form["distribution"] != "q_log_uniform":
        assert form["min"] <= values.min() <= values.max() <= form["max"]
    # W&B rounds a draw between the bounds, so its end points have half a share; here they have a whole one.
    assert np.all(values >= peer.ppf(np.maximum(u_N - 0.15, 0)) - q)
    assert np.all(values <= peer.ppf(np.minimum(u_N + 0.15, 1)) + q)


@pytest.mark.parametrize(
    ("form", "parameter"),
    [
        ({"distribution": "log_uniform", "min": 1e-4, "max": 1e-2}, Float(1e-4, 1e-2, log=True)),
        ({"distribution": "q_log_uniform", "min": 16, "max": 256, "q": 8}, Int(16, 256, log=True, step=8)),
        ({"min": 1, "max": 64, "log": True}, Int(1, 64, log=True)),
        ({"min": 0.1, "max": 1, "log": True}, Float(0.1, 1, log=True)),
        ({"min": 0, "max": 10, "step": 2}, Int(0, 10, step=2)),
        ({"min": 1, "max": 10, "step": 3}, Int(1, 10, step=3)),
        ({"min": 1, "max": 10, "q": 3}, Int(3, 9, step=3)),
        ({"min": 0, "max": 1, "step": 0.25}, Float(0, 1, step=0.25)),
        ({"mu": 0.5, "sigma": 0.1, "min": 0, "max": 1}, Float(0, 1, shape=Normal(0.5, 0.1))),
        ({"values": ["s", "m", "l"], "ordered": True}, Choice(["s", "m", "l"], ordered=True)),
        ({"values": ["a", "b"], "weights": [1, 3]}, Choice(["a", "b"], weights=[1, 3])),
        ({"around": 0.01}, Float(0.001, 0.1, log=True)),
        ({"around": 64, "when": "n > 2"}, Int(16, 256, log=True, when="n > 2")),
        (0.1, Choice([0.1])),
        ([16, 32], Choice([16, 32])),
        (np.array([16, 32]), Choice([16, 32])),
        ({"values": (np.float64(0.5), True)}, Choice([0.5, True])),
    ],
)
def test_whet_s_own_forms(form, parameter):
    assert parameter_from(form, name="lr") == parameter


def test_conditions_have_a_short_form_and_groups_pass_theirs_on():
    text = """
    method: random
    parameters:
      optimizer: [sgd, adam, rmsprop]
      momentum: {min: 0.0, max: 0.99, when: {optimizer: [sgd, rmsprop]}}
      adam:
        when: {optimizer: adam}
        parameters:
          beta: {min: 0.8, max: 0.99}
          amsgrad: {values: [true, false], when: adam.beta < 0.9}
    """
    space = parse(text).problem.space
    assert space["momentum"].when.source == "optimizer in ['sgd', 'rmsprop']"
    assert space["adam.beta"].when.source == "(optimizer == 'adam')"
    assert space["adam.amsgrad"].when.source == "(optimizer == 'adam') and (adam.beta < 0.9)"
    assert space.clean({"optimizer": "sgd", "momentum": 0.5}) == {"optimizer": "sgd", "momentum": 0.5}


def test_a_condition_may_be_about_what_is_infinite_and_not_about_nothing():
    text = """
    method: random
    parameters:
      clip: [1.0, .inf]
      scale: {min: 0.1, max: 1, when: {clip: %s}}
    """
    space = parse(text % ".inf").problem.space
    assert space.clean({"clip": math.inf, "scale": 0.5}) == {"clip": math.inf, "scale": 0.5}
    assert space.clean({"clip": 1.0}) == {"clip": 1.0}
    assert parse(text % "[.inf, 2]").problem.space["scale"].when.source == "clip in [float('inf'), 2]"
    with pytest.raises(ConfigError, match="the list is empty: the parameter would never exist"):
        parse(text % "[]")


@pytest.mark.parametrize(
    ("form", "parameter", "notice"),
    [
        (
            {"values": [16, 16]},
            Choice([16]),
            "parameters.p: values has 16 more than once: taken as one value that is drawn as much more often",
        ),
        ({"values": [16, 16, 32]}, Choice([16, 32], weights=[2, 1]), "has 16 more than once"),
        ({"values": [1, 2, 1.0, 2]}, Choice([1, 2]), "has 1, 2 more than once"),
        (
            {"values": [1, True, [1], [1.0], "1"]},
            Choice([1, True, [1], "1"], weights=[1, 1, 2, 1]),
            "has [1] more than once",
        ),
        (
            {"values": ["a", "b", "a"], "probabilities": [0.2, 0.5, 0.3]},
            Choice(["a", "b"]),
            "has 'a' more than once",
        ),
        ({"distribution": "normal", "mu": 1.5, "sigma": 0}, Choice([1.5]), "with sigma 0 it is the constant 1.5"),
        ({"sigma": 0}, Choice([0.0]), "the constant 0.0"),
        ({"distribution": "log_normal", "mu": 0, "sigma": 0}, Choice([1.0]), "the constant 1.0"),
        ({"distribution": "q_normal", "mu": 7.4, "sigma": 0, "q": 2}, Choice([8]), "the constant 8"),
        ({"distribution": "q_log_normal", "mu": 2, "sigma": 0}, Choice([7]), "the constant 7"),
        ({"distribution": "normal", "mu": 3, "sigma": 0, "max": 2}, Choice([2.0]), "the constant 2.0"),
    ],
)
def test_what_wandb_lets_pass_is_read_with_a_notice(form, parameter, notice):
    config = parse({"method": "random", "parameters": {"p": form}})
    assert config.problem.space["p"] == parameter
    assert [type(o) for o in config.problem.space["p"].options] == [type(o) for o in parameter.options]
    assert len(config.notices) == 1
    assert notice in config.notices[0]
    assert parse(to_mapping(config)) == config


def test_intelligent_bounds_know_the_last_part_of_a_nested_name():
    space = parse("{method: random, parameters: {head: {parameters: {dropout: {around: 0.2}}}}}").problem.space
    assert space["head.dropout"] == Float(0, 0.9)
