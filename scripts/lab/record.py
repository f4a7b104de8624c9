"""What a lab knows of itself between commands: lab.json, and the JSON that `status` prints."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

import msgspec

from lab.errors import LabError
from lab.process import Process

Bucket = Literal["s3", "file"]


class Plan(msgspec.Struct, frozen=True):
    """What was asked for."""

    nodes: int
    wan_mbit: float | None = None
    """Megabits per second of the line to the cloud, each way; None leaves it unshaped."""
    wan_ms: float = 0.0
    """What the line adds to a round trip, in milliseconds."""
    bucket: Bucket = "s3"
    namespaces: bool = True
    """False puts everything on loopback, which needs no rights."""
    hostile: bool = False
    """Puts the hostile proxy before the bucket server."""
    https: bool = False
    """Has the proxy speak TLS, with a certificate of a CA made for the lab."""
    vlans: int = 1
    """How many the workstations are dealt to in turn, with a firewall between them."""
    allow_other: bool = False
    """Lets every user of this machine into the mounts and the directories above them."""
    block_size: str = "1M"
    """Of the project, as `lucidnode project create` has it."""


class S3(msgspec.Struct, frozen=True):
    """The bucket server, as a client needs to know it."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str


class Ports(msgspec.Struct, frozen=True):
    """Where the bucket server listens: HTTP and gRPC, in the order of its parts."""

    http: list[int]
    grpc: list[int]


class Pids(msgspec.Struct, frozen=True):
    """Process ids; None where nothing runs."""

    daemon: int | None
    mount: int | None


class NodeStatus(msgspec.Struct, frozen=True):
    """One workstation, as `status --json` shows it."""

    name: str
    address: str
    mount: str
    cache_dir: str
    metrics_url: str
    socket: str
    pids: Pids
    home: str
    namespace: str | None
    connected: bool


class Status(msgspec.Struct, frozen=True):
    """The answer of `up` and `status --json`."""

    nodes: list[NodeStatus]
    s3: S3 | None
    name: str
    bucket_url: str
    switch: str | None
    """The namespace in which tcpdump on br0 sees the whole LAN."""


class NodeRecord(msgspec.Struct):
    """One workstation."""

    name: str
    address: str
    daemon: Process | None = None
    mount: Process | None = None
    connected: bool = True
    dashboard: str = ""
    """Its URL inside the workstation, as its daemon last named it."""
    daemon_args: list[str] = []
    mount_args: list[str] = []


class Record(msgspec.Struct):
    """Everything needed to go on with a lab, or to remove it."""

    name: str
    plan: Plan
    bucket_url: str
    s3: S3 | None = None
    s3_ports: Ports | None = None
    nodes: list[NodeRecord] = []
    cloud: dict[str, Process] = {}
    """The relay, the bucket server and the proxy before it."""

    def node(self, name: str) -> NodeRecord:
        """Return the workstation called *name*. Raises LabError with the names there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(each.name for each in self.nodes)
        raise LabError(f"no workstation {name!r} in lab {self.name!r}; there are {known}")

    def processes(self) -> list[Process]:
        """Return everything started for this lab, the mounts first."""
        mounts = [node.mount for node in self.nodes]
        daemons = [node.daemon for node in self.nodes]
        return [each for each in [*mounts, *daemons, *self.cloud.values()] if each is not None]


def load_record(path: Path) -> Record | None:
    """Return the record, or None where there is no lab. Raises LabError for a damaged one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise LabError(f"{path} is damaged; `scripts/lan down` clears it away") from error


def save_record(path: Path, record: Record) -> None:
    """Replace the record, whole or not at all."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    scratch.replace(path)
