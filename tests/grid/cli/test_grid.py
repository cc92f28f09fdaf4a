"""The command's view of a running grid, and what it does in one."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from grid.etcd import EtcdClient, EtcdConfig
from tests.grid.cli.cli_kit import APP, Running, data, grid, on_terminal, shell

Env = Mapping[str, str]


# -- looking ------------------------------------------------------------------


def test_peers_as_json(there: Env) -> None:
    found = data(grid("peers", "-o", "json", env=there))
    assert [one["name"] for one in found] == ["peer-1", "peer-2"]
    for one in found:
        assert set(one) == {"name", "peer", "address", "epoch", "lease", "annotations", "serving"}
        assert one["serving"] is True
        assert one["peer"] == one["name"]
        assert one["annotations"] == []
        assert one["address"].startswith("127.0.0.1:")
        assert one["epoch"] > 0
        assert int(one["lease"], 16) > 0


def test_actors_and_mailboxes_as_json(there: Env) -> None:
    actors = {one["name"]: one for one in data(grid("actors", "-o", "json", env=there))}
    assert {"about", "angry", "echo", "leader", "mute"} <= set(actors)
    registered = {"name", "type", "peer", "address", "epoch", "lease"}
    assert set(actors["echo"]) == registered | {"state", "restarts", "error", "error_at"}
    assert (actors["echo"]["state"], actors["echo"]["restarts"]) == ("running", 0)
    assert {actors[name]["type"] for name in ("echo", "leader")} == {"echo", "leader"}
    mailboxes = [one["name"] for one in data(grid("mailboxes", "-o", "json", env=there))]
    assert {"echo", "peer-1", "peer-2"} <= set(mailboxes)
    assert "leader" not in mailboxes


def test_json_lines(there: Env) -> None:
    done = grid("peers", "-o", "jsonl", env=there)
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["peer-1", "peer-2"]


@pytest.mark.parametrize(("style", "has_lease"), [("table", False), ("wide", True)])
def test_tables(there: Env, style: str, has_lease: bool) -> None:
    lines = grid("peers", "-o", style, env=there).stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "ADDRESS", "SERVING"]
    assert ("LEASE" in lines[0]) is has_lease
    assert lines[1].startswith("peer-1")
    assert " yes " in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_nothing_there_is_an_empty_array_and_a_note(there: Env) -> None:
    done = grid("actors", "-o", "json", "-n", "nobody", env=there)
    assert data(done) == []
    assert "no actors in namespace 'nobody'" in done.stderr
    done = grid("actors", "-n", "nobody", env=there)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_leader(there: Env) -> None:
    found = data(grid("leader", "-o", "json", env=there))
    assert found["peer"] in ("peer-1", "peer-2")
    assert found["epoch"] > 0
    assert found["peer"] in grid("leader", env=there).stdout


def test_no_leader_is_not_found(there: Env) -> None:
    done = grid("leader", "-n", "nobody", env=there)
    assert done.returncode == 3
    assert "error: there is no leader in namespace 'nobody'" in done.stderr


async def test_watch_sees_a_peer_come_and_go(there: Env) -> None:
    with Running("peers", "--watch", "-o", "jsonl", env=there) as watch:
        await watch.until(lambda: len(watch.out) == 2, "the peers that are there")
        assert all(json.loads(line)["serving"] for line in watch.out)
        with Running(
            "serve", APP, "--name", "guest", "--no-leader", "--annotation", "a=1", env=there
        ) as guest:
            await watch.until(lambda: any(_serves(one, "guest") for one in watch.out), "the guest")
            guest.signal(signal.SIGTERM)
            assert guest.ended() == 0
        await watch.says('"lost"', on="out")
        watch.signal(signal.SIGINT)
        assert watch.ended() == 0
    assert watch.err == []
    # Its health may change before it is gone, or after it is found.
    came, *changed, went = (json.loads(line) for line in watch.out[2:])
    assert {one["event"] for one in changed} <= {"changed"}
    assert came == {
        "event": "found",
        "kind": "peer",
        "name": "guest",
        "peer": "guest",
        "address": came["address"],
        "epoch": came["epoch"],
        "lease": came["lease"],
        "annotations": ["a=1"],
        "serving": came["serving"],
    }
    assert went == {**came, "event": "lost", "serving": went["serving"]}


def _serves(line: str, name: str) -> bool:
    event = json.loads(line)
    return bool(event["name"] == name and event["serving"])


async def test_watch_in_a_pipe_prints_lines(there: Env) -> None:
    with Running("actors", "-w", env=there) as watch:
        assert (await watch.says("echo", on="out")).split()[:3] == ["found", "echo", "peer-1"]


def test_watch_ends_when_nobody_reads(there: Env) -> None:
    # Nothing comes or goes: that the reader has gone is noticed all the same.
    done = shell("grid peers -w -o jsonl | head -n 1; exit ${PIPESTATUS[0]}", env=there)
    assert (done.returncode, done.stderr) == (0, "")


async def test_watch_on_a_terminal_is_a_live_table(there: Env) -> None:
    screen, terminal = pty.openpty()
    watch = on_terminal("peers", "--watch", terminal=terminal, env=there)
    os.close(terminal)
    try:
        shown = ""
        while not re.search(r"peer-2.* yes ", shown):
            shown += os.read(screen, 4096).decode()
        watch.send_signal(signal.SIGINT)
        assert watch.wait(60) == 0
    finally:
        watch.kill()
        os.close(screen)
    assert "NAME" in shown
    assert "SERVING" in shown
    assert "ANNOTATIONS" in shown


def test_watching_a_json_array_is_refused(there: Env) -> None:
    done = grid("peers", "-w", "-o", "json", env=there)
    assert done.returncode == 2
    assert "use -o jsonl" in done.stderr


# -- requests -----------------------------------------------------------------


def test_a_request_and_its_reply(there: Env) -> None:
    assert data(grid("request", "echo", "EchoMsg", '{"msg": "hé"}', env=there)) == {"msg": "hé"}


def test_a_request_from_standard_input(there: Env) -> None:
    assert data(grid("request", "echo", "EchoMsg", "-", env=there, stdin='{"msg":"in"}')) == {
        "msg": "in"
    }


def test_a_reply_is_printed_whatever_stdout_can_write(there: Env) -> None:
    ascii_only = {**there, "PYTHONIOENCODING": "ascii"}
    done = grid("request", "echo", "EchoMsg", '{"msg": "h\\u00e9 \\u2603"}', env=ascii_only)
    assert data(done) == {"msg": "hé \u2603"}
    assert done.stdout.isascii()
    for target in (">&-", "> /dev/full"):
        done = shell(f'grid request echo EchoMsg \'{{"msg": "kept"}}\' {target}', env=there)
        assert done.returncode == 1
        assert done.stderr.startswith("error: cannot write to standard output: ")
        assert json.loads(done.stderr.splitlines()[-1]) == {"msg": "kept"}


@pytest.mark.parametrize(
    "where",
    [
        ("--proto-module", "google.protobuf.api_pb2"),
        ("--app", APP),
    ],
)
def test_types_of_other_modules(there: Env, where: tuple[str, str]) -> None:
    text = '{"name": "a", "methods": [{"name": "m", "requestStreaming": true}]}'
    reply = data(grid("request", "echo", "google.protobuf.Api", text, *where, env=there))
    assert reply["methods"][0]["request_streaming"] is True
    assert reply["version"] == ""


def test_metadata_reaches_the_actor(there: Env) -> None:
    done = grid(
        "request", "about", "EchoMsg", "--metadata", "a=1", "--metadata", "b=x=y", env=there
    )
    assert json.loads(data(done)["msg"])["metadata"] == {"a": "1", "b": "x=y"}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nobody", "EchoMsg"), 3, r"^error: grid: unregistered mailbox: 'nobody'"),
        (
            ("no.body", "EchoMsg"),
            2,
            r"invalid mailbox name: 'no.body' must be .* of a-z A-Z 0-9 - _",
        ),
        (("echo", "EchoMsg", '{"mgs": 1}'), 2, r"no field 'mgs'; did you mean 'msg'\?"),
        (("mute", "EchoMsg", "--timeout", "0.3"), 4, r"no answer within 0\.\d+ s"),
        (("angry", "EchoMsg"), 1, r"^error: not today$"),
        (("echo", "EchoMsg", "--etcd", "a"), 2, r"an etcd endpoint is host:port"),
        (("echo", "EchoMsg", "--etcd-user", "a"), 2, r"user and password go together"),
        (("echo",), 2, r"^error: TYPE is missing; see: grid request --help$"),
    ],
)
def test_what_goes_wrong_with_a_request(
    there: Env, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = grid("request", *arguments, env=there)
    assert re.search(text, done.stderr, re.MULTILINE)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


async def test_an_interrupted_request_exits_with_130(there: Env) -> None:
    with Running("request", "mute", "EchoMsg", "--timeout", "60", env=there) as asking:
        await asking.until(lambda: "socket" in str(_open_files(asking.process.pid)), "a connection")
        asking.signal(signal.SIGINT)
        assert asking.ended() == 130
    assert asking.err == []


def _open_files(pid: int) -> list[str]:
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(one.readlink()))
        except FileNotFoundError:
            continue
    return found


# -- broadcasts ---------------------------------------------------------------

_HI = ("--type", "EchoMsg", "--json", '{"msg": "hi"}')


def test_a_broadcast(there: Env) -> None:
    found = data(grid("broadcast", "echo", "about", *_HI, "-o", "json", env=there))
    assert found[0] == {"name": "echo", "ok": True, "reply": {"msg": "hi"}}
    assert found[1]["name"] == "about"


def test_an_incomplete_broadcast_shows_who_failed(there: Env) -> None:
    done = grid("broadcast", "echo", "nobody", *_HI, "-o", "json", env=there)
    assert done.returncode == 1
    failed = json.loads(done.stdout)[1]
    assert failed["name"] == "nobody"
    assert failed["ok"] is False
    assert failed["error"]["type"] == "UnregisteredMailbox"
    table = grid("broadcast", "echo", "nobody", *_HI, env=there)
    assert table.returncode == 1
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["NAME", "echo", "nobody"]


def test_the_fastest_of_a_broadcast_is_enough(there: Env) -> None:
    done = grid("broadcast", "mute", "echo", "--fastest", *_HI, "-o", "json", env=there)
    assert data(done) == [{"name": "echo", "ok": True, "reply": {"msg": "hi"}}]


# -- actors -------------------------------------------------------------------


def test_start_and_stop(there: Env) -> None:
    started = data(grid("start", "about", "--name", "a-1", "--data", "x", "-o", "json", env=there))
    assert started["name"] == "a-1"
    assert started["type"] == "about"
    said = json.loads(data(grid("request", "a-1", "EchoMsg", env=there))["msg"])
    assert said["data"] == "x"

    taken = grid("start", "about", "--name", "a-1", env=there)
    assert taken.returncode == 1
    assert f"held by peer '{started['peer']}'" in taken.stderr

    assert grid("stop", "a-1", env=there).returncode == 0
    again = grid("stop", "a-1", env=there)
    assert again.returncode == 3
    assert "unknown actor: 'a-1'" in again.stderr


def test_start_with_a_file_on_a_peer(there: Env) -> None:
    arguments = ("--name", "a-2", "--peer", "peer-2", "--data-file", "-")
    started = grid("start", "about", *arguments, env=there, stdin="bytes")
    assert started.stdout.splitlines()[1].split() == ["a-2", "about", "peer-2"]
    said = json.loads(data(grid("request", "a-2", "EchoMsg", env=there))["msg"])
    assert said["data"] == "bytes"
    assert grid("stop", "a-2", "--grace", "0", env=there).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("nope",), 3, "type=nope; this peer offers about, angry, echo"),
        (("echo", "--peer", "peer-9"), 3, "there is no peer 'peer-9' in namespace 'cli'"),
        (("echo", "--annotation", "gpu"), 3, "it has no annotation gpu"),
        (("echo", "--data", "a", "--data-file", "-"), 2, "--data or --data-file, not both"),
    ],
)
def test_what_goes_wrong_with_a_start(
    there: Env, arguments: tuple[str, ...], code: int, text: str
) -> None:
    done = grid("start", *arguments, env=there)
    assert text in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


# -- the doctor ---------------------------------------------------------------


def test_the_doctor_finds_nothing(there: Env) -> None:
    findings = data(grid("doctor", "-o", "json", env=there))
    assert {one["state"] for one in findings} == {"ok"}
    checks = {one["check"] for one in findings}
    assert {"python", "poller", "access", "namespace", "peer peer-1", "leader"} <= checks
    assert "lease of peer-2" in checks


def test_a_proxy_of_the_environment_is_no_harm(there: Env) -> None:
    proxies = {"http_proxy": "http://127.0.0.1:1", "grpc_proxy": "http://127.0.0.1:1"}
    findings = data(grid("doctor", "-o", "json", env={**there, **proxies}))
    assert {one["state"] for one in findings} <= {"ok", "note"}  # a note, if etcd is slow now
    (proxy,) = [one for one in findings if one["check"] == "proxy"]
    assert proxy["state"] == "ok"
    assert proxy["detail"] == "grpc_proxy, http_proxy: not used between peers, nor for etcd"


async def test_the_doctor_finds_what_is_no_registration(there: Env) -> None:
    async with EtcdClient(EtcdConfig.parse(there["GRID_ETCD"])) as etcd:
        await etcd.put("sick.peer.broken", b"hello")
        await etcd.put("sick.actor.orphan", b'{"address": "127.0.0.1:1", "registry": "gone"}')
        done = grid("doctor", "-n", "sick", env=there)
        await etcd.delete("sick.peer.broken")
        await etcd.delete("sick.actor.orphan")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    assert "sick.peer.broken: not JSON" in lines[0]
    assert "etcdctl del sick.peer.broken" in lines[0]
    assert "sick.actor.orphan: has no lease" in lines[1]


# -- completion ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("grid request ec", ["echo"]),
        ("grid start echo --peer ", ["peer-1", "peer-2"]),
        ("grid stop an", ["angry"]),
        ("grid start a", ["about", "angry"]),
        ("grid request echo Echo", ["EchoMsg"]),
        ("grid request echo google. --proto-module google.protobuf.api_pb2 ", []),
        ("grid request --app tests.grid.cli.cli_app echo grid.E", ["grid.EchoMsg"]),
        ("grid --namespace nobody stop ", []),
        ("grid request -n nobody ", []),
    ],
)
def test_names_are_completed(there: Env, typed: str, expected: list[str]) -> None:
    words = {"_GRID_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    count = len(typed.split()) - (0 if typed.endswith(" ") else 1)
    done = grid(env={**there, **words, "COMP_CWORD": str(count)})
    assert (done.stdout.split(), done.stderr) == (expected, "")


def test_completion_is_silent_without_etcd() -> None:
    words = {"_GRID_COMPLETE": "complete_bash", "COMP_WORDS": "grid request ", "COMP_CWORD": "2"}
    done = grid(env={**words, "GRID_ETCD": "127.0.0.1:1"})
    assert (done.stdout.strip(), done.stderr) == ("", "")
