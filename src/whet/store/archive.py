"""A store as one file: gzipped JSON Lines, written and read in constant memory, the same for every kind of database.

The first line says what the file is: ``{"whet": "store", "format": 1, "tables": "0002", "project": null, "last_key": 8}``. Each line after
it is a row, ``{"runs": {"id": …}}``, of the tables of that version; bytes are ``{"base64": …}``. The last line counts them:
``{"end": {"runs": 8, …}}``; a file without it was cut off. The same store gives the same bytes.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, Integer, LargeBinary, Table, bindparam, column, insert, table

from whet.errors import StoreError, StoreUnavailable
from whet.store.contents import Entry, contents, copied_tables, last_key, totals
from whet.store.copying import Copied, agreed, reserve, take_in
from whet.store.database import Database, Statement, Transaction
from whet.store.schema import HEAD
from whet.store.sql import database_at

__all__ = ["Header", "copy", "export", "import_", "read_header"]

FORMAT = 1
Told = Callable[[str], None]
Entries = Generator[Entry, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is to be known of a file before it is read: the version of its tables, and its greatest key of a run."""

    tables: str
    last_key: int


def _quiet(what: str) -> None:
    return


# -- out ------------------------------------------------------------------------------------------------------------------


def export(database: Database, path: Path, *, project: str | None = None, on_step: Told = _quiet) -> Mapping[str, int]:
    """Write a store, or one project of it, to a file, and return how many rows of each table that were.

    The file appears when it is whole. Others may work on the store meanwhile: what is written is one moment of it.

    Raises:
        StoreError: there is no such project.
        StoreUnavailable: the file can't be written.
    """
    unfinished = path.with_name(path.name + ".part")
    try:
        with database.read() as tx:
            count = _export(tx, unfinished, project, on_step)
            if project is not None and not count:
                raise StoreError(
                    f"there is no project {project!r} in {database.shown}", "see `whet ls` for what there is"
                )
        with _unwritable(path):
            os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _export(tx: Transaction, path: Path, project: str | None, on_step: Told) -> dict[str, int]:
    count: Counter[str] = Counter()
    head = {"whet": "store", "format": FORMAT, "tables": HEAD, "project": project, "last_key": last_key(tx)}
    with _unwritable(path), open(path, "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as file:
            file.write(_line(head))
            for name, row in contents(tx, project):
                if name in ("sweeps", "projects"):
                    on_step(f"{name.removesuffix('s')} {row.get('id') or row['name']}")
                file.write(_line({name: row}))
                count[name] += 1
            file.write(_line({"end": dict(count)}))
        raw.flush()
        os.fsync(raw.fileno())
    return dict(count)


@contextlib.contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"{path} can't be written ({os.strerror(error.errno) if error.errno else error})", "choose another place"
        ) from error


def _line(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), default=_as_text).encode() + b"\n"


def _as_text(value: object) -> object:
    return {"base64": base64.b64encode(bytes(value)).decode()}  # type: ignore[call-overload]


# -- in -------------------------------------------------------------------------------------------------------------------


def import_(database: Database, path: Path, *, on_step: Told = _quiet, on_unit: Told = _quiet) -> Copied:
    """Take in what `export` has written; what is here already with the same content is passed over.

    The file is read to its end first: one that is cut off or damaged, or that does not agree with what is here, changes nothing. Then each
    sweep, and each run outside sweeps, is written whole or not at all, so that an import that was interrupted may be repeated.

    Raises:
        StoreError: the file is no export, cut off, damaged, or a newer Whet's.
        Conflict: something in it is here with other content, or something else here has its name.
        StoreUnavailable: the file can't be read, or the store not written.
    """
    header = read_header(path)
    if header.tables != HEAD:
        return _import_older(database, path, header, on_step=on_step, on_unit=on_unit)
    on_step("reading the file")
    known = {table.name: table for table in copied_tables()}

    def entries() -> Entries:
        for number, (name, row) in enumerate(_entries(path), start=2):
            _check_row(path, number, known, name, row)
            yield name, row

    return _take(database, entries, header.last_key, on_step=on_step, on_unit=on_unit)


def _take(database: Database, entries: Callable[[], Entries], last: int, *, on_step: Told, on_unit: Told) -> Copied:
    with contextlib.closing(entries()) as stream:
        _, before = agreed(database, stream)
    on_step("writing")
    with contextlib.closing(entries()) as stream:
        return take_in(database, stream, shift=reserve(database, last, before), on_unit=on_unit)


def copy(
    source: Database, target: Database, *, project: str | None = None, on_step: Told = _quiet, on_unit: Told = _quiet
) -> Copied:
    """Take one moment of a store, or of one project, over into another, and compare in the end. `source` stays as it is.

    Raises:
        Conflict: as `import_`.
        StoreError: after copying something differs, so that `target` can't be trusted.
    """
    with source.read() as tx:
        on_step("comparing with what is there")
        done = _take(target, lambda: contents(tx, project), last_key(tx), on_step=on_step, on_unit=on_unit)
        on_step("comparing both")
        seen: Counter[str] = Counter()

        def counted() -> Iterator[Entry]:
            for entry in contents(tx, project):
                seen[entry[0]] += 1
                yield entry

        lacking, _ = agreed(target, counted())
        if lacking:
            raise StoreError(f"{lacking} sweeps or runs are not in {target.shown} after copying", "copy once more")
        if project is None and (missed := {n: c - seen[n] for n, c in totals(tx).items() if c != seen[n]}):
            raise StoreError(
                f"{source.shown} has rows that belong to nothing, which were not copied ({missed})",
                "see `whet db check` for what they are",
            )
    return done


def read_header(path: Path) -> Header:
    """Return what the first line of a file says.

    Raises:
        StoreError: it is no export of Whet's, or a newer one's.
        StoreUnavailable: it can't be read.
    """
    with contextlib.closing(_lines(path)) as lines:
        first = next(lines, None)
    if not isinstance(first, dict) or first.get("whet") != "store" or type(first.get("format")) is not int:
        raise StoreError(f"{path} is no export of a store", "give a file that `whet db export` has written")
    tables, last, project = first.get("tables"), first.get("last_key"), first.get("project")
    if first["format"] > FORMAT or not isinstance(tables, str) or tables > HEAD:
        raise StoreError(
            f"{path} was written by a newer Whet (format {first['format']}, tables {tables}; this one knows {FORMAT}, {HEAD})",
            "upgrade this one with `pip install -U whet`",
        )
    if type(last) is not int or not (project is None or isinstance(project, str)):
        raise _damaged(path, 1, "it is not as an export begins")
    return Header(tables=tables, last_key=last)


def _entries(path: Path) -> Entries:
    """Return the rows of a file.

    Raises:
        StoreError: it is damaged, or ends without its last line.
    """
    count: Counter[str] = Counter()
    with contextlib.closing(_lines(path)) as lines:
        next(lines)
        for number, line in enumerate(lines, start=2):
            if not isinstance(line, dict) or len(line) != 1:
                raise _damaged(path, number, "it is no row")
            ((name, row),) = line.items()
            if not isinstance(row, dict):
                raise _damaged(path, number, "it is no row")
            if name == "end":
                if row != count or next(lines, None) is not None:
                    raise _damaged(path, number, f"it counts {row}, found {dict(count)}")
                return
            count[name] += 1
            yield name, {key: _bytes(path, number, v) if isinstance(v, dict) else v for key, v in row.items()}
    raise StoreError(f"{path} ends early, after {sum(count.values())} rows", "export again; nothing was changed")


def _bytes(path: Path, number: int, value: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (LookupError, ValueError, TypeError) as error:
        raise _damaged(path, number, f"its bytes can't be read ({error})") from error


def _lines(path: Path) -> Generator[object, None, None]:
    number = 0  # of the last line that was whole
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if zipped else contextlib.nullcontext(raw) as file:
                for line in file:
                    found = json.loads(line)
                    number += 1
                    yield found
    except gzip.BadGzipFile as error:
        raise _damaged(path, number + 1, str(error)) from error
    except OSError as error:
        raise StoreUnavailable(
            f"{path} can't be read ({os.strerror(error.errno) if error.errno else error})", "check the path"
        ) from error
    except EOFError as error:
        raise StoreError(f"{path} ends early, after {number} lines", "export again; nothing was changed") from error
    except (zlib.error, ValueError) as error:
        raise _damaged(path, number + 1, str(error)) from error


def _damaged(path: Path, number: int, what: str) -> StoreError:
    return StoreError(
        f"{path} is damaged or no export of a store: line {number}: {what}", "export again; nothing was changed"
    )


def _check_row(path: Path, number: int, known: Mapping[str, Table], name: str, row: Mapping[str, Any]) -> None:
    if name not in known:
        raise _damaged(path, number, f"no table {name!r} is copied")
    columns = [c for c in known[name].c if c.name != "key" or name == "runs"]
    names = {c.name for c in columns}
    if row.keys() != names:
        odd = sorted(row.keys() ^ names)
        raise _damaged(path, number, f"a row of {name} with other columns than wanted ({', '.join(odd)})")
    for one in columns:
        value = row[one.name]
        if value is None:
            fits = bool(one.nullable)
        elif isinstance(one.type, Boolean):
            fits = isinstance(value, bool)
        elif isinstance(one.type, Float):
            fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        elif isinstance(one.type, (Integer, BigInteger)):
            fits = type(value) is int and -(1 << 63) <= value < 1 << 63
        elif isinstance(one.type, LargeBinary):
            fits = isinstance(value, bytes)
        else:
            fits = isinstance(value, str)
        if not fits:
            raise _damaged(path, number, f"{name}.{one.name} is {value!r:.80}")


def _import_older(database: Database, path: Path, header: Header, *, on_step: Told, on_unit: Told) -> Copied:
    """Put an older version's rows into tables of that version, bring those up to date, and go on from there."""
    from whet.store import migrate

    if header.tables not in migrate.versions():
        raise _damaged(path, 1, f"there was no version {header.tables}")
    on_step(f"bringing it up from version {header.tables}")
    with tempfile.TemporaryDirectory(prefix="whet-import-") as folder:
        older = database_at(f"sqlite:///{folder}/older.db", prepare=False)
        try:
            migrate.upgrade(older, header.tables)
            statements: dict[tuple[str, ...], Statement] = {}
            with older.write() as tx:
                for name, row in _entries(path):
                    shape = (name, *row)
                    if shape not in statements:
                        if name not in older.tables():
                            raise StoreError(f"{path} is damaged: it has rows of {name!r}", "export again")
                        into = table(name, *map(column, row))
                        statements[shape] = Statement(insert(into).values({c: bindparam(c) for c in row}))
                    tx.run(statements[shape], **row)
            migrate.upgrade(older)
            with older.read() as tx:
                return _take(database, lambda: contents(tx), header.last_key, on_step=on_step, on_unit=on_unit)
        finally:
            older.close()
