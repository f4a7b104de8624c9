"""A real S3 store for tests: SeaweedFS from its wheel, in one process on loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.free_ports import free_ports
from lab.seaweed import SETTLING

from lucidnode.node.bucket.address import S3Address
from lucidnode.node.bucket.credentials import Credentials

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
    "s3.port.grpc",
    "s3.port",
)


@dataclass(frozen=True)
class Seaweed:
    """A running store: *owner* may do everything, *guest* list, and read the bucket `readable`."""

    endpoint: str
    owner: Credentials
    guest: Credentials

    def address(self, bucket: str, prefix: str = "") -> S3Address:
        return S3Address(bucket, prefix, self.endpoint, "us-east-1")


@contextmanager
def running_seaweed(*more: dict[str, Any]) -> Iterator[Seaweed]:
    """Run a store with free ports and an empty directory; leave nothing behind.

    Each of *more* is identities and policies beside the two, as s3.json has them.
    """
    owner = Credentials("AKOWNER", "owner-secret-0123456789")
    guest = Credentials("AKGUEST", "guest-secret-0123456789")
    folder = Path(tempfile.mkdtemp(prefix="lucidnode-seaweed-"))
    try:
        config = folder / "s3.json"
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        _identity("owner", owner, ["Admin", "Read", "Write", "List"]),
                        _identity("guest", guest, ["Read:readable", "List"]),
                        *(one for each in more for one in each["identities"]),
                    ],
                    "policies": [one for each in more for one in each["policies"]],
                }
            )
        )
        ports = free_ports(len(_PORTS))
        with _process(folder, config, ports):
            yield Seaweed(f"http://127.0.0.1:{ports[-1]}", owner, guest)
    finally:
        shutil.rmtree(folder)


def _identity(name: str, key: Credentials, actions: list[str]) -> dict[str, object]:
    pair = {"accessKey": key.access_key, "secretKey": key.secret_key}
    return {"name": name, "credentials": [pair], "actions": actions}


@contextmanager
def _process(folder: Path, config: Path, ports: list[int]) -> Iterator[None]:
    log = folder / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                Path(sys.executable).with_name("weed"),
                f"-logdir={folder}",
                "mini",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-s3.config={config}",
                "-s3.autoCreateBucket=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-webdav=false",
                "-admin.ui=false",
                *(f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)),
            ],
            cwd=folder,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_it_answers(process, ports[-1], log)
        time.sleep(SETTLING)  # noqa: TID251  # a test thread, not a loop
        yield
    finally:
        process.kill()  # asked politely it waits for idle connections
        process.wait()
        for port in ports:  # it binds these in /tmp whatever the environment says
            for stale in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                stale.unlink(missing_ok=True)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError as refusal:
            refusal.close()
            if refusal.code == 403:  # it asks for credentials, so it has read its own
                return
        except OSError:
            continue
    raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text()}")
