"""Flags are what the script itself would take: argparse, click and typer are asked, too, where a test can run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from whet.errors import ConfigError, UnknownName
from whet.project.flags import UNKNOWN, Flags, Interface, Kind, find_flags, find_module
from whet.project.inject import Passing
from whet.project.metrics import find_metrics


def flags_of(folder: Path, text: str, name: str = "train.py") -> Flags:
    (folder / name).write_text(text)
    return find_flags(folder / name)


ARGPARSE = """
import argparse
from somewhere import computed, str2bool
raise SystemExit("this script must not be run")
WIDTH = 2 ** 5
parser = argparse.ArgumentParser()
group = parser.add_argument_group("model")
parser.add_argument("data")
group.add_argument("-w", "--hidden-width", type=int, default=WIDTH, help="units\\n  a layer")
parser.add_argument("--lr", type=float, default=-1e-3)
parser.add_argument("--opt", choices=["sgd", "adam"])
parser.add_argument("--amp", action="store_true")
parser.add_argument("--no-cuda", action="store_false", dest="cuda")
parser.add_argument("--bn", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--pin", type=bool, default=False)
parser.add_argument("--ema", type=str2bool, default=True)
parser.add_argument("--units", nargs="+", type=int, default=[64, 32])
parser.add_argument("--tag", action="append")
parser.add_argument("-v", action="count")
parser.add_argument("--steps", type=int, default=computed())
sub = parser.add_subparsers()
sub.add_parser("fit").add_argument("--epochs", type=int)
parser.set_defaults(epochs=7)
parser.add_argument("--version", action="version")
"""


def test_argparse_in_full(tmp_path: Path) -> None:
    flags = flags_of(tmp_path, ARGPARSE)
    assert flags.interface is Interface.ARGPARSE
    assert flags.closed
    assert list(flags) == [
        "hidden-width", "lr", "opt", "amp", "no-cuda", "bn", "pin", "ema", "units", "tag", "v", "steps", "epochs", "WIDTH",
    ]  # fmt: skip
    told = {name: (flag.kind, flag.default, flag.passing) for name, flag in flags.items()}
    assert told["hidden-width"] == (Kind.INT, 32, Passing.VALUE)
    assert told["lr"] == (Kind.FLOAT, -1e-3, Passing.VALUE)
    assert told["amp"] == told["no-cuda"] == (Kind.BOOL, False, Passing.SWITCH)
    assert told["bn"] == (Kind.BOOL, True, Passing.PAIR)
    assert told["pin"] == (Kind.BOOL, False, Passing.TRUTH)
    assert told["ema"] == (Kind.BOOL, True, Passing.VALUE)
    assert told["units"] == (Kind.LIST, [64, 32], Passing.LIST)
    assert told["tag"] == (Kind.LIST, None, Passing.REPEAT)
    assert told["v"] == (Kind.INT, None, Passing.COUNT)
    assert told["steps"] == (Kind.INT, UNKNOWN, Passing.VALUE)
    assert told["epochs"] == (Kind.INT, 7, Passing.VALUE)
    assert flags["opt"].choices == ("sgd", "adam")
    assert flags["hidden-width"].help == "units a layer"
    assert flags["bn"].options == ("--bn", "--no-bn")


@pytest.mark.parametrize("spelling", ["hidden-width", "hidden_width", "--hidden-width", "w"])
def test_a_flag_is_found_by_every_name_that_the_script_gives_it(tmp_path: Path, spelling: str) -> None:
    assert flags_of(tmp_path, ARGPARSE).find(spelling).name == "hidden-width"


def test_unknown_flag(tmp_path: Path) -> None:
    flags = flags_of(tmp_path, "learning_rate = 0.1\nepochs = 3\n")
    with pytest.raises(UnknownName) as caught:
        flags.find("learningrate")
    assert str(caught.value) == (
        "train.py has no flag 'learningrate': did you mean 'learning_rate'? its flags: learning_rate, epochs "
        "(--force-flags passes it all the same)"
    )
    assert flags.find("learningrate", force=True).options == ("--learningrate",)


@pytest.mark.parametrize(
    "text",
    [
        "import argparse\np = argparse.ArgumentParser()\nfor n in 'ab':\n    p.add_argument('--' + n)\n",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--a')\np.parse_known_args()\n",
        "import fire\nfire.Fire()\n",
        "from transformers import HfArgumentParser\nHfArgumentParser(object)\n",
    ],
)
def test_where_names_are_computed_any_name_is_let_through(tmp_path: Path, text: str) -> None:
    flags = flags_of(tmp_path, text)
    assert not flags.closed
    assert flags.find("anything").options == ("--anything",)


def test_an_option_goes_before_a_constant_of_its_name(tmp_path: Path) -> None:
    text = "import argparse\nmax_lr = 0.1\np = argparse.ArgumentParser()\np.add_argument('--max-lr', default=max_lr)\n"
    flags = flags_of(tmp_path, text)
    assert {name: (flag.interface, flag.default) for name, flag in flags.items()} == {
        "max-lr": (Interface.ARGPARSE, 0.1)
    }


def test_options_of_a_module_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "options.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float)\n"
    )
    assert list(flags_of(tmp_path, "from options import p\nprint(p.parse_args())\n")) == ["lr"]


CLICK = """
import click
@click.command()
@click.option("--learning-rate", "-l", "lr", default=0.1, help="step")
@click.option("--opt", type=click.Choice(["sgd", "adam"]), default="sgd")
@click.option("--amp/--no-amp", default=True)
@click.option("--fast", is_flag=True)
@click.option("--layer", multiple=True, type=int)
@click.argument("data", default="x")
def main(**options):
    print(options)
if __name__ == "__main__":
    main()
"""


def test_click_agrees_with_click(tmp_path: Path) -> None:
    flags = flags_of(tmp_path, CLICK)
    names: dict[str, object] = {"__name__": "imported"}
    exec(CLICK, names)
    import click

    main = names["main"]
    assert isinstance(main, click.Command)
    theirs = {p.opts[0].lstrip("-"): p for p in main.params if isinstance(p, click.Option)}
    assert flags.keys() == theirs.keys()
    assert flags.interface is Interface.CLICK
    for name, option in theirs.items():
        if name not in ("layer", "fast"):
            assert flags[name].default == option.default
    assert flags["amp"].options == ("--amp", "--no-amp")
    assert flags["layer"].passing is Passing.REPEAT
    assert flags["opt"].choices == ("sgd", "adam")
    assert flags["learning-rate"].kind is Kind.FLOAT
    assert flags.find("lr").name == "learning-rate"


def test_typer(tmp_path: Path) -> None:
    flags = flags_of(
        tmp_path,
        "import typer\nfrom typing import Annotated\n"
        "def main(data: str, lr: float = 0.1, use_amp: bool = False, n: Annotated[int, typer.Option('--num', help='how many')] = 3,\n"
        "         opt: str = typer.Option('sgd', '--optimizer'), out: str = typer.Argument('x')): ...\n"
        "def other(x: int = 3): ...\ntyper.run(main)\n",
    )
    assert {name: flag.default for name, flag in flags.items()} == {
        "lr": 0.1,
        "use-amp": False,
        "num": 3,
        "optimizer": "sgd",
    }
    assert flags["use-amp"].options == ("--use-amp", "--no-use-amp")
    assert flags.find("n").help == "how many"


def test_globals_are_constants_before_the_main_part(tmp_path: Path) -> None:
    flags = flags_of(
        tmp_path,
        "lr: float = 0.1\nEPOCHS = 3\nbetas = (0.9, 0.999)\nunits = [64, 32]\nfast = True\n_private = 1\nname = 'x'\n"
        "computed = len('x')\nlr = 5\nnothing: int\nclass A:\n    inner = 1\n"
        "if __name__ == '__main__':\n    late = 1\nafter = 2\n",
    )
    assert flags.interface is Interface.GLOBALS
    assert {name: flag.default for name, flag in flags.items()} == {
        "lr": 0.1, "EPOCHS": 3, "betas": (0.9, 0.999), "units": [64, 32], "fast": True, "name": "x",
    }  # fmt: skip


@pytest.mark.parametrize("named_by", ["option", "open", "given"])
def test_keys_of_the_configuration_file(tmp_path: Path, named_by: str) -> None:
    config = tmp_path / "conf.yaml"
    config.write_text("model: {width: 32, drop: 1e-1}\nseed: 1\n")
    text = {
        "option": "import argparse\np = argparse.ArgumentParser()\np.add_argument('--config', default='conf.yaml')\n",
        "open": "import yaml\nfrom pathlib import Path\nopen('out.json', 'w')\nc = yaml.safe_load(open('conf.yaml'))\n",
        "given": "import sys\nprint(sys.argv)\n",
    }[named_by]
    (tmp_path / "out.json").write_text('{"loss": 1}')
    (tmp_path / "train.py").write_text(text)
    flags = find_flags(tmp_path / "train.py", config=config if named_by == "given" else None)
    assert flags.config == config
    assert flags.config_option == ("--config" if named_by == "option" else "")
    found = {name: flag.default for name, flag in flags.items() if flag.interface is Interface.CONFIG}
    assert found == {"model.width": 32, "model.drop": 0.1, "seed": 1}


def test_a_script_that_is_not_python(tmp_path: Path) -> None:
    assert not flags_of(tmp_path, "echo $1\n", "train.sh").closed
    with pytest.raises(ConfigError) as caught:
        flags_of(tmp_path, "x = 1\ndef f(:\n")
    assert str(caught.value) == f"{tmp_path}/train.py:2: this is not Python: invalid syntax: mend it"


def test_modules_are_found_without_importing_them(tmp_path: Path) -> None:
    package = tmp_path / "pkg" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "pkg" / "__init__.py").write_text("raise SystemExit")
    (package / "fit.py").write_text("lr = 1\n")
    (package / "__main__.py").write_text("lr = 2\n")
    assert find_module("pkg.inner.fit", tmp_path) == package / "fit.py"
    assert find_module("pkg.inner", tmp_path) == package / "__main__.py"
    with pytest.raises(ConfigError, match=r"there is no module 'pkg\.nothing'"):
        find_module("pkg.nothing", tmp_path)


def test_metrics_that_a_script_seems_to_report(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import whet\nwhet.log({'loss': 1.0, 'epoch': 3})\nwriter.add_scalar('val/acc', x, step)\n"
        "print(f'epoch {e}: train_loss: {x:.3f} f1={y}')\nprint('auc:', auc)\nprint('mse: %.3f' % mse)\nprint('rmse: {}'.format(r))\n"
        "print('done: nothing')\n"
    )
    assert find_metrics(tmp_path / "train.py") == ["loss", "val/acc", "train_loss", "f1", "auc", "mse", "rmse"]
