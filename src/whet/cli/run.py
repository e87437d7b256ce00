"""``whet run``: any script as it is, its flags given constants, lists and ranges."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.asked import Asked, asked
from whet.cli.preview import ask, list_flags, print_trials
from whet.errors import ConfigError, NotFound, nearest

if TYPE_CHECKING:
    from whet.config import SweepConfig
    from whet.project.flags import Flags
    from whet.project.plan import Plan
    from whet.store.base import Sweep

__all__ = ["command"]

DEFAULT_TRIALS = 20
_ARGUMENTS = "whet.run.arguments"


@final
class _Command(click.Command):
    """Keeps what comes after ``--`` for the script."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta[_ARGUMENTS] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)


@click.command("run", cls=_Command)
@click.argument("words", metavar="SCRIPT [FLAG=VALUE | @FILE]… [-- ARGUMENT…]", nargs=-1)
@click.option("-m", "module", metavar="MODULE", help="Run a module, as python -m does, in SCRIPT's place.")
@click.option("-o", "--method", metavar="METHOD", help="How to search: grid, random, sobol, bayes (the same as auto: a Gaussian process, then TPE), optuna … Default: grid where every value is listed, bayes where a range is given.")  # fmt: skip
@click.option("-Fo", "knobs", metavar="KNOB=VALUE", multiple=True, help="A knob of the method.")
@click.option("-n", "--trials", "count", type=click.IntRange(min=1), help=f"The most trials; default {DEFAULT_TRIALS}, of a grid all.")  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, help="Trials at a time; default 1.")
@click.option("--minimize", metavar="METRIC", multiple=True, help="The metric to make small.")
@click.option("--maximize", metavar="METRIC", multiple=True, help="The metric to make large.")
@click.option("--limit", "limits", metavar="NAME<=NUMBER", multiple=True, help="What a trial must keep to be the best, of what it logs, prints, or of its seconds: 'latency_ms<=20', 'accuracy>=0.9'.")  # fmt: skip
@click.option("--stop", "stopper", metavar="METHOD", help="End bad trials early: asha, hyperband, median …")
@click.option("-Fs", "stop_knobs", metavar="KNOB=VALUE", multiple=True, help="A knob of the stopper.")
@click.option("--name", help="The sweep's name. The same name again goes on where it stopped.")
@click.option("--project", help="The project it is listed under.")
@click.option("--seed", type=int, help="The same seed proposes the same trials.")
@click.option("--timeout", "timeout_s", metavar="S", type=click.FloatRange(min=0, min_open=True), help="End a trial after S seconds.")  # fmt: skip
@click.option("--gpus", type=click.IntRange(min=0), help="GPUs that each trial gets for itself.")
@click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="The YAML or JSON file whose keys are flags, too; found by itself where the script names it.")  # fmt: skip
@click.option("--force-flags", is_flag=True, help="Pass flags that the script does not seem to have.")
@click.option("--flags", "list_flags", is_flag=True, help="List the script's flags, and run nothing.")
@click.option("--print-trials", is_flag=True, help="Print what would be tried, and run nothing.")
@click.option("--stage", is_flag=True, help="Create the sweep, and run nothing yet.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output.json_option
@click.pass_context
def command(context: click.Context, /, words: tuple[str, ...], **given: Any) -> None:
    """Run a script as it is, once or as a sweep of many trials.

    \b
      whet run train.py lr=0.1 epochs=3                once, with these flags
      whet run train.py lr=[0.1,0.01] opt=[sgd,adam]   all four combinations
      whet run train.py lr=loguniform[1e-4:1e-1] --minimize loss -n 40 -j 2
      whet run train.py width=[16:256] @good.csv --maximize accuracy

    Flags are found without running the script: options of argparse, click and typer, keys of its YAML file, module-level constants. Metrics
    are what it logs (whet.log), writes for TensorBoard, or prints as "loss: 0.5".

    \b
    values: 0.1                    a constant; 'text' in quotes is text
            [0.1,0.01]             any of these
            [1:9] [1:9:3]          a range; with a third number, tried first
            loguniform[1e-4:1e-1]  also uniform, normal[mean:deviation]
            range[1:9:2] linspace[0:1:5] logspace[-4:-1:4]
    @file.csv (.json, .yaml): each row is one configuration to run.

    JSON: a line an event as `whet agent --json` has it.
    """
    options = asked(given, context.meta.get(_ARGUMENTS, ()))
    module = options.module
    if not words and module is None:
        if options.name is None:
            raise click.UsageError("no script is named")
        context.exit(_go_on(options))
    target, rest = (module, words) if module is not None else (words[0], words[1:])
    context.exit(_start(options, target, rest))


# -- a new sweep ----------------------------------------------------------------------------------------------------------


def _start(options: Asked, target: str, words: tuple[str, ...]) -> int:
    from whet.project.flags import find_flags, find_module
    from whet.project.plan import plan

    script = find_module(target) if options.module is not None else _script(target)
    flags = find_flags(script, config=options.config_file or _config_given(find_flags(script), words))
    if options.list_flags:
        list_flags(flags, as_json=options.as_json)
        return 0
    wanted = plan(words, flags, force=options.force_flags)
    config = _config(options, flags, wanted, target)
    if options.print_trials:
        print_trials(config, wanted, _total(config, wanted), as_json=options.as_json)
        return 0
    if options.name is not None:
        there = _existing(options.name, options.project)
        if there is not None:
            _check_same(there, config, options)
            return _go_on(options)
    total = _total(config, wanted)
    if not wanted.is_single and not options.stage and not options.yes and _can_ask():
        ask(target, config, total)
    sweep = _create(config, wanted)
    if options.stage:
        if options.as_json:
            from whet.cli.describe import sweep_as_json

            output.print_json(sweep_as_json(sweep))
        else:
            output.say(sweep.id)
            output.tell(f"staged; start it with: whet run --name {_called(sweep)}, or: whet agent {sweep.id}")
        return 0
    return _work(sweep, options, total)


def _config_given(flags: Flags, words: tuple[str, ...]) -> Path | None:
    """Return the configuration file that the user names by the script's own option: its keys are what counts."""
    for word in words if flags.config_option else ():
        name, _, value = word.partition("=")
        if (
            name.strip("- ").replace("-", "_") == flags.config_option.strip("-").replace("-", "_")
            and Path(value).is_file()
        ):
            return Path(value)
    return None


def _script(target: str) -> Path:
    path = Path(target)
    if path.is_file():
        return path
    if path.is_dir():
        if (path / "__main__.py").is_file():
            return path / "__main__.py"
        raise ConfigError(f"{target} is a folder without a __main__.py", "give the script in it")
    beside = path.parent if path.parent.is_dir() else Path()
    known = [str(p) for p in sorted(beside.iterdir()) if p.is_file() and p.suffix in (".py", ".sh", path.suffix)]
    close = nearest(target, known)
    fix = f"did you mean {close[0]}?" + (f" there are also {', '.join(close[1:5])}" if close[1:] else "") if close else (
        f"there is no script in {beside.resolve()}"
    )  # fmt: skip
    if "=" in target:
        fix = "name the script first: whet run train.py lr=0.1"
    raise ConfigError(f"there is no script {target!r}", fix, name=target, known=tuple(close))


def _config(options: Asked, flags: Flags, wanted: Plan, target: str) -> SweepConfig:
    from whet.config import Plugin, SweepConfig
    from whet.project.invocation import command_for
    from whet.trial import Problem

    listed = wanted.listed or wanted.is_single
    method = options.method or ("grid" if wanted.finite else "bayes")
    count: int | None = 1 if wanted.is_single and not wanted.listed else options.count
    if wanted.listed:
        count = min(options.count or len(wanted.first), len(wanted.first))
    config = SweepConfig(
        problem=Problem(space=wanted.space, metrics=options.metrics, limits=options.limits),
        method=Plugin(name=method, knobs=options.knobs),
        stopper=Plugin(name=options.stopper, knobs=options.stop_knobs) if options.stopper else None,
        name=options.name,
        project=options.project,
        program=target if options.module is None else f"-m {target}",
        command=command_for(flags, wanted.used, wanted.space, extra=options.arguments),
        run_cap=count,
        seed=options.seed,
        resources=options.resources,
        define_by_run=not wanted.space,
    )
    if listed and options.method is None:
        config = replace(config, method=Plugin(name="grid"))
    _check(config, flags)
    if config.run_cap is None and _grid_size(config) is None:
        config = replace(config, run_cap=max(DEFAULT_TRIALS, len(wanted.first)))
    return config


def _check(config: SweepConfig, flags: Flags) -> None:
    """See that the sweep can be made, before anything is kept.

    Raises:
        UnknownName, ConfigError: method, stopper or knobs; a metric that is needed and not given.
    """
    from whet.config import parse, to_mapping
    from whet.plugins import find
    from whet.project.metrics import find_metrics

    find("searcher", config.method.name)
    if config.stopper is not None:
        find("stopper", config.stopper.name)
    try:
        parse(to_mapping(config))
    except ConfigError as error:
        if error.facts.get("path") != "metric":
            raise
        who = f"--stop {config.stopper.name}" if config.stopper is not None else f"method {config.method.name}"
        seen = find_metrics(flags.script)
        shown_ones = f"; {flags.script.name} seems to report {', '.join(seen[:8])}" if seen else ""
        instead = "" if config.stopper is not None else ", or -o random to try without"
        raise ConfigError(f"{who} needs a metric to go by, and none is given", f"give --minimize or --maximize METRIC{shown_ones}{instead}") from None  # fmt: skip


def _grid_size(config: SweepConfig) -> int | None:
    """Return how many trials the method makes by itself, or None when it never ends."""
    from whet.study.preview import size_of

    return size_of(config)


def _total(config: SweepConfig, wanted: Plan) -> int:
    size = None if wanted.listed else _grid_size(config)
    numbers = [n for n in (size, config.run_cap) if n is not None]
    return min(numbers) if numbers else 1


def _create(config: SweepConfig, wanted: Plan) -> Sweep:
    from whet.study.create import create_sweep
    from whet.study.engine import Engine

    store = session.store()
    sweep = store.sweeps.get(create_sweep(store, config))
    if wanted.first:
        engine = Engine(store, sweep)
        for params in wanted.first[: config.run_cap]:
            engine.enqueue(params)
    return sweep


# -- the same sweep again -------------------------------------------------------------------------------------------------


def _existing(name: str, project: str | None) -> Sweep | None:
    try:
        found = session.store().sweeps.find(name, project)
    except NotFound:
        return None
    return (
        found if name in (found.name, found.id) else None
    )  # not by the beginning of an id: a new name may look like one


def _check_same(there: Sweep, config: SweepConfig, options: Asked) -> None:
    """See that what is asked for is what the sweep of that name does already.

    Raises:
        ConfigError: it is not.
    """
    from whet.config import parse, to_mapping

    stored = parse(dict(there.config), source=f"sweep {there.id}")
    new = parse(to_mapping(config))
    for what, old, now in (
        ("script", stored.program, new.program),
        ("flags", dict(stored.problem.space), dict(new.problem.space)),
        ("command", stored.command, new.command),
        ("metrics", stored.problem.metrics, new.problem.metrics),
        ("limits", stored.problem.limits, new.problem.limits),
        ("method", stored.method, new.method),
        ("stopper", stored.stopper, new.stopper),
        ("seed", stored.seed, stored.seed if options.seed is None else new.seed),
    ):
        if old != now:
            raise ConfigError(f"there is a sweep {_called(there)} with {'another' if what in ('script', 'command', 'method', 'stopper', 'seed') else 'other'} {what}",
                              f"give another --name, or go on with it as it is: whet run --name {_called(there)}")  # fmt: skip


def _go_on(options: Asked) -> int:
    from whet.store.base import SweepState

    assert options.name is not None
    store = session.store()
    sweep = store.sweeps.find(options.name, options.project)
    if sweep.state is SweepState.CANCELED:
        raise ConfigError(f"sweep {_called(sweep)} was canceled", "give another --name")
    if options.count is not None and sweep.cap is not None and options.count > sweep.cap:
        sweep = store.sweeps.edit(sweep.id, version=sweep.version, cap=options.count)
        if sweep.state is SweepState.FINISHED:
            sweep = store.sweeps.move(sweep.id, SweepState.RUNNING)
    if sweep.state is SweepState.FINISHED:
        if not options.as_json:
            done = shown.counted(sweep.next_number, "trial")
            more = f"; -n {sweep.cap + DEFAULT_TRIALS} adds more" if sweep.cap is not None else ""
            output.say(f"sweep {_called(sweep)} is finished: it had {done}{more}")
        return _tell_end(sweep, options, None)
    if sweep.state is SweepState.PAUSED:
        sweep = store.sweeps.move(sweep.id, SweepState.RUNNING)
    if not options.as_json and sweep.next_number:
        output.say(f"going on with sweep {_called(sweep)}: it has {shown.counted(sweep.next_number, 'trial')}")
    return _work(sweep, options, sweep.cap)


# -- running --------------------------------------------------------------------------------------------------------------


def _work(sweep: Sweep, options: Asked, total: int | None) -> int:
    from whet.cli.once import run_once
    from whet.cli.progress import follow
    from whet.launch.local import Local
    from whet.store.open import whet_dir
    from whet.tune.loop import drive

    store = session.store()
    executor = Local(whet_dir() / "jobs", slots=options.jobs)
    if sweep.cap == 1 and not options.as_json:
        return run_once(store, sweep, executor)
    if not options.as_json:
        output.say(f"sweep {_called(sweep)}: {shown.counted(total, 'trial') if total else 'trials'} in {whet_dir()}")
    from whet.study.engine import Engine

    engine = Engine(store, sweep)
    engine.sync()
    with follow(engine.problem.metrics, total=total, as_json=options.as_json) as progress:
        progress.tick(engine)
        ending = drive(
            store, sweep.id, executor, workers=options.jobs, on_event=progress.event, on_tick=progress.tick
        )  # fmt: skip
    return _tell_end(sweep, options, ending)


def _tell_end(sweep: Sweep, options: Asked, ending: Any) -> int:
    from whet.cli.once import exit_status, explain
    from whet.cli.summary import print_summary
    from whet.cli.work import report
    from whet.study.engine import Engine
    from whet.trial import Phase

    store = session.store()
    engine = Engine(store, sweep.id)
    engine.sync()
    trials = engine.in_order()
    done = [t for t in trials if t.phase is Phase.FINISHED]
    if options.as_json and ending is not None:
        report(store, sweep.id, ending, as_json=True)
    if ending is not None and ending.interrupted:
        if not options.as_json:
            output.say(
                f"interrupted after {shown.counted(len(done), 'trial')}; go on with: whet run --name {_called(sweep)}"
            )
        return 130
    failed = [t for t in trials if t.phase is Phase.FAILED]
    if failed and not done:
        error = explain(store, engine, failed)
        if sweep.cap == 1:
            error.exit_code = exit_status(store.runs.get(str(error.facts["run"]))) or error.exit_code
        raise error
    if options.as_json:
        return 0
    if engine.problem.metrics:
        print_summary(engine.problem, trials, sweep=_called(sweep))
    else:
        output.say(f"{shown.counted(len(done), 'trial')} finished" + (f", {len(failed)} failed" if failed else ""))
        output.say()
        output.say(f"next\n  whet compare {_called(sweep)}  the trials side by side")
    return 0


def _can_ask() -> bool:
    return sys.stdin.isatty() and output.on_terminal()


def _called(sweep: Sweep) -> str:
    return sweep.name if " " not in sweep.name else sweep.id
