"""A study in a notebook: a few facts, its history as a small picture, its best trials. Plain HTML and SVG, nothing that runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from whet.analysis.best import why_none
from whet.analysis.pareto import pareto_front
from whet.figures.words import number
from whet.trial import Phase, Problem, Trial

__all__ = ["html_of", "tally"]

_ROWS = 5
_POINTS = 400
_COLUMNS = 8
_WIDTH, _HEIGHT, _PAD = 460, 120, 6


def html_of(problem: Problem, trials: Sequence[Trial], name: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return the study as HTML; every name and value is escaped. Colours are the notebook's own, so it may be dark.

    Args:
        problem: Space and metrics.
        trials: All of them.
        name: The study's.
        facts: What is shown above, as names and words.
    """
    told = " · ".join(f"<span style='opacity:.65'>{escape(label)}</span> {escape(text)}" for label, text in facts)
    parts = [f"<div style='font-weight:600'>{escape(name)}</div>", f"<div style='margin:.2em 0 .6em'>{told}</div>"]
    if len(problem.metrics) == 1:
        parts.append(_history(problem, trials))
    parts.append(_table(problem, trials))
    return f"<div class='whet-study' style='font-size:13px;line-height:1.5'>{''.join(parts)}</div>"


def _history(problem: Problem, trials: Sequence[Trial]) -> str:
    goal = problem.metric.goal
    done = [(t.number, t.values[0]) for t in trials if problem.counts(t) and t.values and math.isfinite(t.values[0])]
    if len(done) < 2:
        return ""
    best: list[tuple[int, float]] = []
    for n, value in done:
        best.append((n, value if not best or goal.loss(value) < goal.loss(best[-1][1]) else best[-1][1]))
    losses = sorted(goal.loss(v) for _, v in done)
    ends = goal.loss(losses[0]), goal.loss(losses[min(len(losses) - 1, math.ceil(0.95 * len(losses)))])
    low, high = min(ends), max(ends)
    last = max(done[-1][0], 1)

    def at(n: int, value: float) -> tuple[str, str]:
        share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        x = _PAD + n / last * (_WIDTH - 2 * _PAD)
        y = _HEIGHT - _PAD - min(max(share, 0.0), 1.0) * (_HEIGHT - 2 * _PAD)
        return f"{x:.1f}", f"{y:.1f}"

    every = max(1, len(done) // _POINTS)
    dots = "".join("<circle cx='{}' cy='{}' r='1.8'/>".format(*at(n, v)) for n, v in done[::every])
    path: list[str] = []
    y = ""
    for n, value in best:
        x, level = at(n, value)
        if level != y:  # stairs: along, then up or down
            path.append(f"M{x} {level}" if not path else f"H{x}V{level}")
            y = level
    path.append(f"H{at(last, 0.0)[0]}")
    label = escape(f"best {problem.metric.name} so far, over {len(done)} complete trials", quote=True)
    return (
        f"<svg role='img' aria-label='{label}' width='{_WIDTH}' height='{_HEIGHT}' viewBox='0 0 {_WIDTH} {_HEIGHT}' "
        f"style='max-width:100%'><title>{label}</title><g fill='currentColor' opacity='.3'>{dots}</g>"
        f"<path d='{''.join(path)}' fill='none' stroke='#3b7ddd' stroke-width='2'/></svg>"
    )


def _table(problem: Problem, trials: Sequence[Trial]) -> str:
    complete = [t for t in trials if t.complete and t.values is not None]
    if not complete:
        return "<div style='opacity:.65'>no trial is complete yet</div>"
    if len(problem.metrics) == 1:
        goal = problem.metric.goal
        if why := why_none(problem, complete):
            return f"<div style='opacity:.65'>{escape(why)}</div>"
        complete = [t for t in complete if problem.keeps(t)]
        shown = sorted(complete, key=lambda t: (goal.loss((t.values or (math.inf,))[0]), t.number))[:_ROWS]
        title = f"best {len(shown)} of {len(complete)} complete trials{' within the limits' if problem.limits else ''}"
    else:
        front = pareto_front(problem, complete)
        shown = front[:_ROWS]
        title = f"{len(shown)} of the {len(front)} trials on the Pareto front"
    used = {name: None for t in shown for name in t.params}
    names = [name for name in problem.space if name in used] or list(used)
    more = len(names) - _COLUMNS
    names = names[:_COLUMNS]
    head = ["trial", *(m.name for m in problem.metrics), *names, *(["…"] if more > 0 else [])]
    rows = [
        [str(t.number), *map(number, t.values or ()), *(_cell(t, n) for n in names), *([""] if more > 0 else [])]
        for t in shown
    ]
    style = "text-align:right;padding:.1em .7em"
    lines = "".join("<tr>" + "".join(f"<td style='{style}'>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    heads = "".join(f"<th style='{style}'>{escape(c)}</th>" for c in head)
    return f"<div style='opacity:.65;margin-top:.4em'>{escape(title)}</div><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(trial: Trial, name: str) -> str:
    if name not in trial.params:
        return "–"
    value = trial.params[name]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def tally(trials: Sequence[Trial]) -> str:
    """Return how many trials there are, and how they ended, in words."""
    stopped = sum(t.stopped and t.phase is Phase.FINISHED for t in trials)
    counts = {
        "complete": sum(t.complete for t in trials),
        "stopped early": stopped,
        "failed": sum(t.phase is Phase.FAILED for t in trials),
        "open": sum(not t.phase.is_over for t in trials),
    }
    return f"{len(trials)} ({', '.join(f'{n} {word}' for word, n in counts.items() if n)})" if trials else "0"
