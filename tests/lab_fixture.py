"""A LAN lab for a module of system tests, and what such tests ask of it.

Everything in it is real: daemons, mounts, multicast, the S3 server. See docs/lab.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.request
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import boto3
from botocore.config import Config
from lab.command import run
from lab.lab import Lab, make, remove
from lab.namespaces import WAN
from lab.network import CLOUD, SWITCH
from lab.patience import until
from lab.reading import forget
from lab.record import Plan
from lab.workstation import Workstation
from prometheus_client.parser import text_string_to_metric_families

from lucidnode.node.dashboard.server import TOKEN_FILE

STATE = "user.lucid.state"

PATIENCE = 90.0
"""Seconds to wait for what must come. Long: the machine may be shared, and no test is timed by it."""

WAN_MBIT = 300.0


@contextlib.contextmanager
def running_lab(subject: str) -> Iterator[Lab]:
    """Yield a lab of three workstations, and leave nothing of it behind.

    *subject* is up to four letters. Runs of the tests side by side have labs of their own.
    """
    name = f"{subject}{os.getpid()}"
    try:
        yield make(name, Plan(nodes=3, wan_mbit=WAN_MBIT, wan_ms=20.0), lambda _: None)
    finally:
        remove(name)


# -- files -----------------------------------------------------------------------------------


def noise(size: int) -> bytes:
    """Return *size* bytes that no codec shrinks and no other file holds."""
    return os.urandom(size)


def digest(data: bytes | bytearray) -> str:
    """Return what `digests_there` says of a file with this content."""
    return hashlib.sha256(data).hexdigest()


def digests_there(lab: Lab, station: Workstation, names: Collection[str]) -> dict[str, str]:
    """Return the SHA-256 of files as a program on *station* reads them through the mount."""
    paths = [str(station.mount_point / name) for name in names]
    lines = run_on(lab, station, "sha256sum", *paths).splitlines()
    return dict(zip(names, (line.split()[0] for line in lines), strict=True))


def run_on(lab: Lab, station: Workstation, *argv: str) -> str:
    """Run a program on *station*. Raises CommandFailed."""
    prefix, environment = lab.inside(station.name)
    return run([*prefix, *argv], env=environment, within=3 * PATIENCE)


def clear_cache(lab: Lab, *stations: Workstation) -> None:
    """Have *stations* forget every block on their disks."""
    for station in stations:
        # What the bucket has moves from staging into the cache a moment later.
        until(partial(_stages_nothing, station), within=PATIENCE, what="staging does not empty")
        run_on(lab, station, "lucidnode", "cache", "clear")
        held = sum(path.is_file() for path in (station.home / "cache" / "blocks").rglob("*"))
        assert held == 0, f"{held} blocks in the cleared cache of {station.name}"


def _stages_nothing(station: Workstation) -> bool:
    return not any(path.is_file() for path in (station.home / "cache" / "staging").rglob("*"))


def await_cloud(*paths: Path) -> None:
    """Return once what was written to *paths* is in the bucket, named by a committed entry."""
    left = list(paths)

    def done() -> bool:
        while left and os.getxattr(left[-1], STATE) == b"cloud":
            left.pop()
        return not left

    until(done, within=PATIENCE, what=f"{len(paths)} files did not all reach the bucket")


def await_names(directory: Path, names: Collection[str]) -> None:
    """Return once *directory* holds at least *names*, and what they mean is not on its way still."""

    def there() -> bool:
        with contextlib.suppress(FileNotFoundError):
            found = {path.name for path in directory.iterdir()}
            files = [directory / name for name in names if not (directory / name).is_symlink()]
            return set(names) <= found and all(os.getxattr(f, STATE) == b"cloud" for f in files)
        return False

    until(there, within=PATIENCE, what=f"{len(names)} names did not all arrive in {directory}")


def await_size(path: Path, size: int) -> None:
    """Return once *path* is there with *size* bytes."""

    def there() -> bool:
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_size == size
        return False

    until(there, within=PATIENCE, what=f"{path} did not arrive")


def forget_pages(*paths: Path) -> None:
    """Have the kernel forget what it holds of *paths*: the next read asks the mount."""
    for path in paths:
        forget(path)


def at_once(*works: Callable[[], object]) -> None:
    """Run all of *works* at the same time; raises the first failure after all have ended."""
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        futures: list[Future[object]] = [pool.submit(work) for work in works]
    for each in futures:
        each.result()


# -- counters --------------------------------------------------------------------------------


def counted(lab: Lab, station: Workstation, sample: str, **labels: str) -> float:
    """Return the sum over all samples called *sample* with *labels*, as /metrics has them now."""
    token = (station.home / TOKEN_FILE).read_text()
    url = f"{station.record.dashboard}/metrics?token={token}"
    text = lab.network.within(station.name, partial(_fetched, url))
    return sum(
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    )


def block_gets(lab: Lab) -> float:
    """Return how many GETs for blocks all workstations together sent to the bucket."""
    return sum(
        counted(lab, station, "lucidnode_bucket_requests_total", operation="get", kind="block")
        for station in lab.workstations.values()
    )


def _fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read(), "utf-8")


# -- the bucket ------------------------------------------------------------------------------


def bucket_keys(lab: Lab) -> set[str]:
    """Return the key of every object in the bucket."""
    return lab.network.within(CLOUD, lambda: set(_keys(_s3(lab), _bucket(lab))))


def bucket_objects(lab: Lab) -> dict[str, bytes]:
    """Return every object in the bucket, read through S3."""

    def read() -> dict[str, bytes]:
        client, bucket = _s3(lab), _bucket(lab)
        return {
            key: client.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in _keys(client, bucket)
        }

    return lab.network.within(CLOUD, read)


def block_ids(keys: Collection[str]) -> set[bytes]:
    """Return the ids of the blocks among *keys* of the bucket."""
    return {bytes.fromhex(key.rsplit("/", 1)[1]) for key in keys if "/block/" in key}


def _s3(lab: Lab):  # type: ignore[no-untyped-def]  # boto3 makes its classes at run time
    store = lab.record.s3
    assert store is not None
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


def _bucket(lab: Lab) -> str:
    assert lab.record.s3 is not None
    return lab.record.s3.bucket


def _keys(client, bucket: str) -> Iterator[str]:  # type: ignore[no-untyped-def]
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (each["Key"] for each in page.get("Contents", []))


# -- the line --------------------------------------------------------------------------------


@contextlib.contextmanager
def slow_upload(lab: Lab, mbit: float) -> Iterator[None]:
    """Give the line to the cloud a rate of *mbit* in the direction of uploads."""
    _shape(lab, mbit)
    try:
        yield
    finally:
        _shape(lab, WAN_MBIT)


def _shape(lab: Lab, mbit: float) -> None:
    burst = max(16_000, round(mbit * 1e6 / 8 * 0.010))
    rate = ["rate", f"{mbit}mbit", "burst", str(burst), "latency", "50ms"]
    namespace = str(lab.network.namespace(SWITCH))
    run(["tc", "-n", namespace, "qdisc", "change", "dev", WAN, "root", "tbf", *rate])
