"""Sweeps that are not there yet: templates to begin with, and what a configuration would do."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from whet.config import SweepConfig, parse, to_mapping
from whet.errors import ConfigError, StudyError, WhetError
from whet.project.templates import changed, templates
from whet.server.access import needs
from whet.server.rest import answer
from whet.server.sweep_views import Fault, PreviewView, TemplateView
from whet.server.views import Draft
from whet.study.create import check
from whet.study.preview import guesses, size_of

__all__ = ["drafted", "router"]

_SAMPLES = 20
_STEPS = 100_000
"""A grid whose size is not told after so many is one that nobody walks through."""


def router() -> APIRouter:
    """Return the routes ``/templates`` and ``/sweeps:preview``."""
    routes = APIRouter(tags=["sweeps"])

    @routes.get("/templates", response_model=list[TemplateView])
    @needs("read", anywhere=True)
    def all_templates() -> Response:
        """Return the sweep files to begin with."""
        return answer(
            [
                TemplateView(name=one.name, about=one.about, text=one.text, config=to_mapping(parse(one.text)))
                for one in templates()
            ]
        )

    @routes.post("/sweeps:preview", response_model=PreviewView)
    @needs("write", anywhere=True)
    def preview(body: Draft) -> Response:
        """Say what a configuration would do, or what is wrong with it; nothing is kept."""
        try:
            config = drafted(body)
            check(config)
            size = size_of(config, _STEPS)
            unknown = config.define_by_run and not config.problem.space
            samples = (
                []
                if unknown
                else [dict(params) for params in guesses(config, min(_SAMPLES, config.run_cap or _SAMPLES))]
            )
        except WhetError as error:
            line, path = error.facts.get("line"), error.facts.get("path")
            fault = Fault(
                problem=error.problem,
                fix=error.fix,
                line=line if isinstance(line, int) else None,
                path=path if isinstance(path, str) else "",
            )
            return answer(
                PreviewView(errors=[fault], notices=[], config=None, grid_size=None, num_trials=None, samples=[])
            )
        bounds = [n for n in (size, config.run_cap) if n is not None]
        return answer(
            PreviewView(
                errors=[],
                notices=list(config.notices),
                config=dict(to_mapping(config)),
                grid_size=size,
                num_trials=min(bounds, default=None),
                samples=samples,
            )
        )

    return routes


def drafted(body: Draft) -> SweepConfig:
    """Return the sweep that a body describes: by its configuration, or as a template with changes.

    Raises:
        StudyError: both, or neither.
        UnknownName, ConfigError: it describes none.
    """
    if (body.config is None) == (body.template is None):
        raise StudyError("a new sweep has a config or a template", "send one of them: GET /templates lists templates")
    if body.template is not None:
        return changed(body.template, body.changes or {})
    if body.changes is not None:
        raise ConfigError("changes go with a template, and a config is given", "change the config itself")
    assert body.config is not None
    return parse(body.config)
