"""``whet serve`` and ``whet token``, as processes and in this one."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from whet.errors import Refused, WhetError
from whet.store import Store, open_store
from whet.store.token import Scope

Call = Callable[..., Any]
HTTP = urllib3.PoolManager(retries=False, timeout=20)


class Server:
    """A process that serves; `url` once it says so."""

    def __init__(self, *args: str) -> None:
        environ = {**os.environ, "PYTHONUNBUFFERED": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whet.cli.main", "serve", "--json", *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
        )  # fmt: skip
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], 60)
        assert ready
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        self.said = json.loads(line)
        self.url: str = self.said["url"]

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said.strip()


@pytest.fixture
def serving(workspace: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*args: str) -> Server:
        started.append(Server("--port", "0", *args))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def test_a_server_is_a_store_for_another_process(serving: Callable[..., Server], digits: str, as_process: Call) -> None:
    server = serving()
    assert server.said == {"url": server.url, "store": f"sqlite:///{Path.cwd()}/.whet/whet.db", "tokens": 0}
    listed = as_process("--store", server.url, "ls", "--json")
    assert len(json.loads(listed.stdout)) == 6, listed.stderr
    answer = HTTP.request("GET", f"{server.url}/api/v1")
    assert json.loads(answer.data).keys() == {"whet", "api"}
    assert "server" not in answer.headers
    made = as_process("--store", server.url, "token", "create", "--scope", "admin")
    assert made.returncode == 1
    assert made.stderr.startswith(f"whet: the tokens of {server.url} are kept where its store is\n  → run")


@pytest.mark.parametrize(("how", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 0, "")])
def test_a_server_ends_cleanly(serving: Callable[..., Server], how: signal.Signals, code: int, said: str) -> None:
    server = serving()
    assert HTTP.request("GET", f"{server.url}/api/v1").status == 200
    assert server.end(how) == (code, said)


def test_an_answer_under_way_is_finished(serving: Callable[..., Server], digits: str) -> None:
    """A turn that somebody waits for while the server is told to end."""
    server = serving()
    post = f"{server.url}/api/v1/turns/take"
    sweep = open_store().sweeps.all()[0].id
    assert HTTP.request("POST", post, json={"sweep": sweep, "key": "one"}).data == b"true"
    answers: list[Any] = []

    def wait() -> None:
        answers.append(HTTP.request("POST", post, json={"sweep": sweep, "key": "two"}).data)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(1.0)
    server.process.send_signal(signal.SIGTERM)
    thread.join(30)
    assert answers in (
        [b"false"],
        [b"true"],
    )  # after two seconds of waiting, or when the first one was silent for too long
    assert server.process.wait(30) == 0


def test_a_server_starts_and_answers_with_little_work(serving: Callable[..., Server], store: Store) -> None:
    before = os.times()
    server = serving()
    assert HTTP.request("GET", f"{server.url}/api/v1").status == 200
    server.end()
    after = os.times()
    used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    assert used < 3  # seconds of a processor, on a machine that does other things; idle ones take half as long


def test_what_can_not_be_served_is_told(whet_fails: Callable[..., WhetError]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = whet_fails("serve", "--port", port)
        assert error.problem == f"port {port} of 127.0.0.1 is taken"
        assert "--port 0" in error.fix
    for host in ("0.0.0.0", "::", "192.0.2.1", "gpu1"):
        error = whet_fails("serve", "--host", host)
        assert isinstance(error, Refused)
        assert "whet token create" in error.fix
    for option in ("--proxy", "--allow-host"):
        assert isinstance(whet_fails("serve", option, "127.0.0.1"), Refused)
    for name in ("*", "http://x.org", "x.org:8765", "", "a b"):
        assert whet_fails("serve", "--allow-host", name).problem == f"--allow-host got {name!r}, wanted a name"
    tokens = open_store().tokens
    token, _ = tokens.create(Scope.READ)
    tokens.revoke(token.id)
    assert isinstance(whet_fails("serve", "--host", "0.0.0.0"), Refused)  # one that is good for nothing is none
    tokens.create(Scope.READ)
    assert re.fullmatch(
        r"can't serve at 192.0.2.1:1 \(.*\)", whet_fails("serve", "--host", "192.0.2.1", "--port", 1).problem
    )


@pytest.fixture
def whet_fails(whet: Call) -> Callable[..., WhetError]:
    """Calls, and returns the error behind the exit status."""

    def call(*args: object) -> WhetError:
        result = whet(*args)
        assert result.exit_code in (1, 2)
        problem, _, fix = result.stderr.strip().partition("\n  → ")
        kind = Refused if "no token that is good" in problem else WhetError
        return kind(problem.removeprefix("whet: "), fix)

    return call


def test_what_is_served_already_is_not_served_again(serving: Callable[..., Server], as_process: Call) -> None:
    url = serving().url
    done = as_process("serve", "--store", url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"whet: {url} is served already\n")


def test_without_the_extra_it_says_what_to_install(workspace: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from whet.cli.main import main\n"
        "main(['serve'])"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "whet: whet serve needs the package 'uvicorn'\n  → pip install \"whet[server]\"\n"


def test_a_team_server(serving: Callable[..., Server], as_process: Call, digits: str) -> None:
    """From the command line alone: tokens, a server for others, a client with and without."""
    made = as_process("token", "create", "--scope", "write", "--project", "demo", "--expires", "30d", "--name", "ci")
    secret = made.stdout.strip()
    assert re.fullmatch(r"whet_[0-9a-z]{10}_[0-9a-f]{64}", secret)
    assert secret not in made.stderr
    server = serving("--host", "0.0.0.0", "--allow-host", "gpu.example.org")
    url = re.sub("//.*:", "//127.0.0.1:", server.url)
    env = {**os.environ, "WHET_STORE": url}
    refused = as_process("ls", env=env)
    assert refused.returncode == 1
    assert refused.stderr == (
        "whet: this server needs a token\n  → set WHET_TOKEN to one; whoever keeps the server makes it: whet token create\n"
    )
    listed = as_process("ls", "--json", env={**env, "WHET_TOKEN": secret})
    assert len(json.loads(listed.stdout)) == 6, listed.stderr
    found = as_process("best", "digits", env={**env, "WHET_TOKEN": secret})
    assert found.returncode == 0, found.stderr
    removed = as_process("rm", "digits", "-y", env={**env, "WHET_TOKEN": secret})
    assert "this needs scope admin, got a token with scope write" in removed.stderr
    named = {"Host": "gpu.example.org", "Authorization": f"Bearer {secret}"}
    assert HTTP.request("GET", f"{url}/api/v1", headers=named).status == 200
    assert HTTP.request("GET", f"{url}/api/v1", headers={**named, "Host": "evil.example.org"}).status == 421
    assert as_process("token", "revoke", "ci").stdout == f"revoked {secret[5:15]}\n"
    time.sleep(2.1)
    over = as_process("ls", env={**env, "WHET_TOKEN": secret})
    assert over.stderr.startswith(f"whet: token {secret[5:15]} is revoked\n")


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_proxy_that_is_named_is_believed(serving: Callable[..., Server], store: Store, trusted: bool) -> None:
    _, secret = store.tokens.create(Scope.READ)
    server = serving(*(["--proxy", "127.0.0.1"] if trusted else []))  # there is a token already
    forwarded = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
    answer = HTTP.request("POST", f"{server.url}/api/v1/session", json={"token": secret}, headers=forwarded)
    assert answer.status == 200
    assert ("Secure" in answer.headers["set-cookie"]) is trusted
    for n in range(11):
        headers = {"Authorization": f"Bearer whet_{n}", "X-Forwarded-For": f"192.0.2.{n}"}
        status = HTTP.request("GET", f"{server.url}/api/v1", headers=headers).status
    assert status == (401 if trusted else 429)  # counted by the client's address, or by the proxy's


def test_tokens_from_the_command_line(whet: Call, store: Store) -> None:
    assert whet("token", "list").stderr == "there is no token; make one with: whet token create --scope read\n"
    made = json.loads(whet("token", "create", "--scope", "read", "--project", "b", "--project", "a", "--json").stdout)
    assert made.keys() == {"token", "id", "scope", "projects", "name", "expires"}
    assert (made["projects"], made["expires"]) == (["a", "b"], None)
    token = store.tokens.check(made["token"])
    assert token is not None
    assert token.id == made["id"]
    ends = json.loads(
        whet("token", "create", "--scope", "admin", "--expires", "2h", "--name", "short", "--json").stdout
    )
    assert 7190 < ends["expires"] - time.time() <= 7200
    listed = whet("token", "list").stdout
    assert made["token"] not in listed
    assert re.search(rf"{made['id']} +- +read +a, b +good +just now +-", listed)
    assert re.search(rf"{ends['id']} +short +admin +all +good for (2h 00m|1h 59m)", listed)
    assert [one["state"] for one in json.loads(whet("token", "list", "--json").stdout)] == ["good", "good"]
    assert whet("token", "revoke", "short", made["id"][:8]).stdout == f"revoked {ends['id']}\nrevoked {made['id']}\n"
    assert [one["state"] for one in json.loads(whet("token", "list", "--json").stdout)] == ["revoked", "revoked"]
    forgot = whet("token", "revoke", "--forget", "short", made["id"], "--json")
    assert [one["id"] for one in json.loads(forgot.stdout)] == [ends["id"], made["id"]]
    assert store.tokens.all() == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["create", "--scope", "rd"], "whet: unknown scope 'rd'\n  → did you mean 'read'?"),
        (["create"], "whet: SCOPE is missing\n  → whet token create --help"),
        (
            ["create", "--scope", "read", "--expires", "30"],
            "whet: --expires got '30', wanted a time\n  → give a whole number",
        ),
        (["create", "--scope", "read", "--expires", "0d"], "whet: --expires got '0d'"),
        (["create", "--scope", "read", "--expires", "-1d"], "whet: --expires got '-1d'"),
        (["revoke", "nonsense"], "whet: no token 'nonsense'\n  → there is none"),
        (["revok"], "whet: no such command 'revok'"),
    ],
)
def test_wrong_calls_of_token(args: list[str], said: str, whet: Call) -> None:
    result = whet("token", *args)
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith(said)
    assert result.stdout == ""


def test_revoking_one_that_is_not_there_revokes_none(whet: Call, store: Store) -> None:
    token, _ = store.tokens.create(Scope.READ)
    assert whet("token", "revoke", token.id, "nonsense").exit_code == 1
    assert store.tokens.find(token.id).revoked is None
