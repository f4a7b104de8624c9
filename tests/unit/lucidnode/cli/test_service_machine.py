"""What a service sees of the machine, with processes that are a few lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lucidnode.cli.persistent_mounts import PersistentMount
from lucidnode.cli.service_machine import ServiceMachine
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE

SECRET = "correct horse battery"

COMMAND = """
import json, os, sys
said = {"words": sys.argv[1:], "given": sys.stdin.read(), "environment": dict(os.environ)}
with open(os.environ["MARK"], "w") as mark:
    json.dump(said, mark)
print("a library says something", file=sys.stderr)
print("lucidnode: the bucket is away", file=sys.stderr)
sys.exit(6)
"""

HANGS = """
import os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
line.bind(sys.argv[1])
line.listen(8)
print("ready", flush=True)
signal.pause()
"""


async def never() -> str:
    raise AssertionError("nobody asks for the passphrase")


@pytest.fixture
def machine(tmp_path: Path) -> ServiceMachine:
    package = tmp_path / "lucidnode"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(COMMAND)
    environment = {"MARK": str(tmp_path / "mark"), "PYTHONPATH": str(tmp_path)}
    return ServiceMachine(tmp_path, never, environment)


async def test_a_mount_gets_the_passphrase_through_a_pipe_alone(
    machine: ServiceMachine, tmp_path: Path
) -> None:
    tried = await machine.mount(PersistentMount("demo", "/srv/demo"), SECRET)
    assert (tried.code, tried.words) == (6, "the bucket is away")
    said = json.loads((tmp_path / "mark").read_text())
    assert said.pop("given") == SECRET + "\n"
    assert SECRET not in json.dumps(said)
    assert said["words"] == [
        "--home", str(tmp_path), "mount", "--passphrase-file", "/dev/stdin", "--durability=local",
        "--", "demo", "/srv/demo",
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def daemon(home: Path, status: dict[str, Any]) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(status)

    application = web.Application()
    application.router.add_get("/v1/status", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(home / SOCKET_FILE)).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def test_a_mount_that_the_kernel_has_no_more_is_not_there_whatever_the_daemon_says(
    machine: ServiceMachine, tmp_path: Path
) -> None:
    assert await machine.mounted() is None
    mounts = [{"mountpoint": "/proc"}, {"mountpoint": str(tmp_path / "drive")}]
    async with daemon(tmp_path, {"mounts": mounts}):
        assert await machine.mounted() == {"/proc"}


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return a daemon that listens, and stands still."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path / SOCKET_FILE)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        yield process
        process.kill()


async def test_a_daemon_that_stands_still_is_killed_and_has_died_then(
    machine: ServiceMachine, hung: subprocess.Popen[bytes]
) -> None:
    assert not machine.has_daemon_died()
    machine.kill_daemon()
    assert await asyncio.to_thread(hung.wait, 30) == -signal.SIGKILL
    assert machine.has_daemon_died()
    machine.kill_daemon()  # nobody is there
