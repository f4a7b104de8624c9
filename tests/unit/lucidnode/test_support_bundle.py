"""A bundle for who helps has no secret in it, and no name unless somebody asks for names."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lucidnode.doctor import Finding
from lucidnode.node.config import NodeConfig
from lucidnode.support_bundle import bundle, without_names

SECRETS = ("a1" * 32, "b2" * 32, "hook-token", "-----BEGIN CERTIFICATE-----")
NAMES = (
    "studio-bucket",
    "minio.example",
    "ada",
    "/home/",
    "cut.mov",
    "192.0.2.7",
    "demo",
    "berta",
    "Ada",
)

CONFIG = NodeConfig(
    studio="c3" * 16,
    genesis=SECRETS[0],
    lan_key=SECRETS[1],
    bucket_url="s3://studio-bucket/ada",
    endpoint_url="https://minio.example:9000",
    authorities=SECRETS[3],
    cache_dir="/home/ada/cache",
    peers=["192.0.2.7:7450"],
    webhooks=[f"https://minio.example/{SECRETS[2]}"],
)

ALERT = {
    "topic": "file:cut.mov",
    "cause": "The file cut.mov cannot be read.",
    "remedy": "Ask ada.",
    "since": 5.0,
    "count": 2,
    "mountpoint": "/home/ada/demo",
}

FACTS: dict[str, dict[str, Any] | None] = {
    "status": {
        "bucket": "bucket 'studio-bucket' at minio.example",
        "mounts": [
            {
                "project": "d4" * 16,
                "mountpoint": "/home/ada/demo",
                "durability": "local",
                "kernel_channel": True,
                "head": 7,
                "checkpoint": 0,
                "pending": 3,
                "conflicts": 1,
            }
        ],
        "uploads": {"blocks": 1},
        "on_their_way": [{"path": "cut.mov"}],
        "conflicts": [{"path": "cut.mov"}],
        "locks": [{"path": "cut.mov", "device": "berta"}],
        "peers": 1,
        "alerts": [ALERT],
    },
    "peers": {
        "share": 0.5,
        "peers": [
            {"name": "berta", "address": "192.0.2.7", "state": "linked", "share": 0.5, "totals": {}}
        ],
    },
    "stats": None,
}

LOG = """\
2026-11-26 12:00:00,123 WARNING lucidnode.fs.read.reader: cut.mov of ada is unreadable
2026-11-26 12:00:01,123 ERROR lucidnode.node.daemon: /home/ada/demo failed
Traceback (most recent call last):
  File "/home/ada/venv/lib/python3.11/site-packages/lucidnode/node/daemon.py", line 7, in run
    raise Refused("cut.mov")
lucidnode.node.client.errors.Refused: cut.mov of berta
OSError: [Errno 5] Input/output error: '/home/ada/demo/cut.mov'
Ada
ada: cut.mov
"""


def packed(*, names: bool) -> dict[str, str]:
    return bundle(
        about={"lucidnode": "0.1.0"},
        config=CONFIG,
        findings=[
            Finding("the bucket", "amiss", "minio.example refuses ada", "ask berta"),
            Finding("cache in /home/ada/cache", "well", "ada"),
            Finding("/home/ada/demo", "amiss", "cut.mov"),
        ],
        facts=FACTS,
        metrics="lucidnode_peers 1.0\n",
        logs={"daemon.log": LOG},
        names=names,
    )


@pytest.mark.parametrize("names", [False, True])
def test_no_secret_is_in_a_bundle(names: bool) -> None:
    files = packed(names=names)
    assert not [(name, s) for name, text in files.items() for s in SECRETS if s in text]


def test_no_name_is_in_a_bundle_that_was_not_asked_for_names() -> None:
    files = packed(names=False)
    assert not [(name, word) for name, text in files.items() for word in NAMES if word in text]


def test_what_helps_is_in_it_all_the_same() -> None:
    files = packed(names=False)
    assert msgspec.json.decode(files["doctor.json"]) == [
        {"what": "the bucket", "verdict": "amiss"},
        {"what": "cache in", "verdict": "well"},
        {"what": "a drive", "verdict": "amiss"},
    ]
    status = msgspec.json.decode(files["status.json"])
    assert status["alerts"] == [{"topic": "file", "since": 5.0, "count": 2}]
    assert status["mounts"][0]["pending"] == 3
    settings = msgspec.json.decode(files["settings.json"])
    assert (settings["bucket"], settings["named peers"]) == ("s3", 1)
    assert files["stats.json"] == "null\n"


def test_of_a_log_is_told_when_and_where_and_not_what() -> None:
    assert without_names(LOG) == (
        "2026-11-26 12:00:00,123 WARNING lucidnode.fs.read.reader\n"
        "2026-11-26 12:00:01,123 ERROR lucidnode.node.daemon\n"
        "  site-packages/lucidnode/node/daemon.py, line 7, in run\n"
        "  lucidnode.node.client.errors.Refused\n"
        "  OSError\n"
    )


def test_who_asks_for_names_gets_them() -> None:
    files = packed(names=True)
    assert files["daemon.log"] == LOG
    assert "/home/ada/demo" in files["status.json"]
    assert "minio.example refuses ada" in files["doctor.json"]
