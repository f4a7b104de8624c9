"""A real S3 server in the cloud: SeaweedFS, all its parts in one process."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from lab.errors import CommandFailed
from lab.network import CLOUD, Network
from lab.patience import until
from lab.places import Places
from lab.process import Process
from lab.record import S3, Ports

_PORTS = {"s3": 8333, "master": 9333, "volume": 9340, "filer": 8888, "admin": 23646}
"""The listeners that SeaweedFS cannot do without, and its own ports for them."""

SETTLING = 2.0
"""Seconds to leave a server alone after its first answer. About one second after its start the S3
part learns which filer owns which name, and from then on keeps creates apart by other means than
before: two creates of one name across that moment can both succeed (docs/lab.md has figures)."""

_SOCKETS = Path("/tmp")  # noqa: S108  # SeaweedFS's choice, see below


def sockets(ports: Ports) -> list[Path]:
    """Return the Unix sockets that there are for *ports*.

    For each gRPC port SeaweedFS makes /tmp/seaweedfs-PART-grpc-PORT.sock and prefers it to the
    network. Two servers with the same gRPC ports would talk to each other's parts across all network
    namespaces, so these ports are unique on the whole machine.
    """
    return [found for port in ports.grpc for found in _SOCKETS.glob(f"seaweedfs-*-{port}.sock")]


def choose_ports(network: Network) -> Ports:
    """Return ports that no other server uses."""
    address = network.address(CLOUD)
    while True:
        first = 20_000 + secrets.randbelow(30_000)
        drawn = list(range(first, first + 2 * len(_PORTS)))
        ports = Ports(drawn[: len(_PORTS)], drawn[len(_PORTS) :])
        if sockets(ports):
            continue
        if network.namespace(CLOUD) is not None:
            return Ports(list(_PORTS.values()), ports.grpc)
        if all(_is_free(address, port) for port in drawn):
            return ports


def start_seaweed(
    network: Network, places: Places, env: Mapping[str, str], ports: Ports, *, bucket: str
) -> tuple[S3, Process]:
    """Start a server for the lab in *places*, with credentials of its own. It is not ready yet."""
    address = network.address(CLOUD)
    account = S3(
        endpoint=f"http://{address}:{ports.http[0]}",
        access_key=f"lab{secrets.token_hex(6)}",
        secret_key=secrets.token_hex(20),
        bucket=bucket,
    )
    root = places.root / "s3"
    root.mkdir()
    command = [
        "weed",
        f"-logdir={places.log('s3').parent}",
        "mini",
        f"-dir={root}",
        f"-ip={address}",
        f"-ip.bind={address}",
        *(f"-{part}.port={port}" for part, port in zip(_PORTS, ports.http, strict=True)),
        *(f"-{part}.port.grpc={port}" for part, port in zip(_PORTS, ports.grpc, strict=True)),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={_identities(places, account)}",
        # These have an option for their place; by default they are in /tmp as well.
        f"-filer.localSocket={root / 'filer.sock'}",
        f"-s3.localFilerSocket={root / 'filer.sock'}",
        f"-s3.localSocket={root / 's3.sock'}",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    ]  # fmt: skip
    process = Process.start([*network.entering(CLOUD), *command], log=places.log("s3"), env=env)
    return account, process


def await_seaweed(network: Network, places: Places, account: S3, process: Process) -> None:
    """Return once the server can be relied on. Raises CommandFailed when it ended or never does."""

    def answers() -> bool:
        if not process.alive():
            raise CommandFailed(f"SeaweedFS ended; see {places.log('s3')}")
        return network.within(CLOUD, lambda: _answers(account.endpoint))

    until(answers, within=90, what="SeaweedFS does not answer")
    time.sleep(SETTLING)  # noqa: TID251  # no loop here


def _identities(places: Places, account: S3) -> Path:
    keys = {"accessKey": account.access_key, "secretKey": account.secret_key}
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    path = places.root / "s3.json"
    path.touch(mode=0o600)
    path.write_text(
        json.dumps({"identities": [{"name": "lab", "credentials": [keys], "actions": rights}]})
    )
    return path


def _answers(endpoint: str) -> bool:
    host = endpoint.removeprefix("http://")
    with contextlib.closing(http.client.HTTPConnection(host, timeout=2)) as connection:
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False


def _is_free(address: str, port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True
