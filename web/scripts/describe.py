"""Write what the server's API looks like to ``web/openapi.json``, without a server: ``npm run api`` makes the page's types from it.

The verbs of stores are left out: they are for the stores of other machines, and the page uses none.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from whet.server.app import application
from whet.store import open_store


def bare(part: Any) -> Any:
    """Return a schema without the titles that only say its name again."""
    if isinstance(part, dict):
        return {key: bare(value) for key, value in part.items() if not (key == "title" and isinstance(value, str))}
    return [bare(one) for one in part] if isinstance(part, list) else part


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(open_store(f"{folder}/whet.db")) as store:
        found = application(store).openapi()
    found["paths"] = {path: routes for path, routes in found["paths"].items() if "/verbs/" not in path}
    text = json.dumps(bare(found), indent=1, sort_keys=True)
    (Path(__file__).parents[1] / "openapi.json").write_text(f"{text}\n")
