"""The house's own laws: which room may import which, what a name costs, and that everything public is said in words."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import whet

SOURCE = Path(whet.__file__).parent

FLOORS = {
    "errors": 1, "expression": 1,
    "shapes": 2, "filters": 2, "parameters": 2, "space": 2, "plugins": 2, "launch": 2, "limit": 2, "fronts": 2, "checkpoints": 2, "bounds": 2, "region": 2, "locks": 2,
    "trial": 3, "hypergrad": 3, "speed": 3,
    "config": 4, "search": 4, "stop": 4, "analysis": 4, "blobs": 4,
    "store": 5, "figures": 5,
    "track": 6, "study": 6,
    "project": 7, "joint": 7, "foreign": 7,
    "tune": 8, "server": 8,
    "cli": 9, "__init__": 9,
}  # fmt: skip
"""Room to floor: a room imports only from floors below its own, and from itself."""

NEIGHBOURS = {
    ("space", "parameters"), ("parameters", "shapes"), ("expression", "errors"),
    ("space", "region"), ("region", "parameters"), ("region", "bounds"),
}  # fmt: skip
"""The pairs on one floor that may: space, parameters, shapes, region and bounds are one room in five files; everything may raise errors."""

FORBIDDEN = {
    "search": {"store", "track", "study", "launch"},
    "stop": {"store", "track", "study", "launch"},
    "analysis": {"store", "track", "study", "launch"},
    "launch": {"trial"},
    "store": {"search"},
    "hypergrad": set(FLOORS) - {"errors", "expression", "parameters", "space", "hypergrad"},
    "speed": set(FLOORS) - {"errors", "expression", "parameters", "space", "speed"},
}

LONG_FILES = {
    "testing/executor_laws.py": "one suite, read from top to bottom: an executor inherits all of it",
    "testing/store_trial_laws.py": "one suite, read from top to bottom: a store inherits all of it",
}
"""Files over 400 lines, each with its reason."""


def modules() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages([str(SOURCE)], "whet.")]
    return sorted(name for name in found if ".migrations" not in name and name != "whet.launch.supervise")


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Every room that a file imports, anywhere in it: in functions and under TYPE_CHECKING too."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "whet" else [module]
        rooms |= {name.split(".")[1] if "." in name else "__init__" for name in names if name.split(".")[0] == "whet"}
    return rooms


def files() -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*.py")) if room_of(p) != "testing"]


def test_every_room_has_a_floor() -> None:
    assert {room_of(p) for p in files()} <= FLOORS.keys()


def test_imports_go_down() -> None:
    wrong = []
    for path in files():
        room = room_of(path)
        for other in imported_rooms(path) - {room, "__version__"}:
            lower = FLOORS.get(other, 99) < FLOORS[room] or (room, other) in NEIGHBOURS
            if other in FORBIDDEN.get(room, ()) or not lower:
                wrong.append(
                    f"{path.relative_to(SOURCE)} (floor {FLOORS[room]}) imports {other} (floor {FLOORS.get(other)})"
                )
    assert wrong == []


@pytest.mark.parametrize("name", ["whet", *modules()])
def test_all_is_what_a_module_offers(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", None)
    if name.rsplit(".", 1)[-1].startswith("_"):
        return
    if offered is None:
        tree = ast.parse(inspect.getsource(module))
        public = [
            n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")
        ]
        assert public == [], f"{name} has no __all__"
        return
    assert len(offered) == len(set(offered))
    for entry in offered:
        assert hasattr(module, entry), f"{name}.__all__ names {entry}, which does not import"
    if name != "whet":
        own = {
            n.name
            for n in ast.parse(inspect.getsource(module)).body
            if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")
        }
        assert own <= set(offered), f"{name} does not name {own - set(offered)} in __all__"


@pytest.mark.parametrize("name", modules())
def test_everything_public_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip()
    silent = []
    for entry in getattr(module, "__all__", ()):
        thing = getattr(module, entry)
        if getattr(thing, "__module__", None) != name:
            continue
        if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing):
            silent.append(entry)
        if inspect.isclass(thing):
            silent += [
                f"{entry}.{attr}"
                for attr, value in vars(thing).items()
                if not attr.startswith(("_", "test_"))  # a law's name is its sentence
                and (inspect.isfunction(value) or isinstance(value, property))
                and not inspect.getdoc(getattr(thing, attr))
            ]
    assert silent == []


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).failed == 0


def test_long_files_have_a_reason() -> None:
    long = {str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.py") if len(p.read_text().splitlines()) > 400}
    assert long == set(LONG_FILES)


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nimport json; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def test_import_whet_loads_nothing_heavy() -> None:
    heavy = {
        "torch",
        "numpy",
        "scipy",
        "sqlalchemy",
        "alembic",
        "fastapi",
        "ray",
        "rich",
        "click",
        "yaml",
        "psutil",
        "optuna",
    }
    assert loaded_by("import whet") & heavy == set()


def test_help_loads_nothing_heavy() -> None:
    code = "from whet.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    heavy = {"torch", "numpy", "scipy", "sqlalchemy", "alembic", "fastapi", "optuna", "psutil", "yaml"}
    assert loaded_by(code) & heavy == set()


def test_config_is_the_runs_and_a_room_at_once() -> None:
    from whet.config import parse
    from whet.track import face

    importlib.import_module("whet.config")
    assert callable(parse)
    assert whet.config is face.config


def test_the_room_is_never_imported_by_the_name_that_is_the_runs() -> None:
    wrong = [
        str(p) for p in files() if "from whet import config" in p.read_text() or "import whet.config\n" in p.read_text()
    ]
    assert wrong == []


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        whet.nonsense  # noqa: B018
