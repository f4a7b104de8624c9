"""What somebody who helps from afar needs to know of a workstation, as texts by file name. Pure.

It is put together from what may be told, piece by piece: what nobody has thought of is left out.
Secrets are never in it. Names (of files, projects, people, workstations, hosts and buckets, with
paths and addresses) are in it only for who asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lucidnode.doctor import Finding
from lucidnode.node.config import NodeConfig
from lucidnode.node.settings import SETTINGS

LOG_BYTES = 1024 * 1024
"""Of each log, the end."""

_LINE = re.compile(r"(\d{4}-\d\d-\d\d [\d:,]{12}) ([A-Z]{4,8}) ([A-Za-z0-9_.]{1,80}): ")
"""How a line of a log begins: when, how serious, and which part says it."""

_FRAME = re.compile(r'  File "[^"]*?((?:site-packages|lucidnode)/[\w./-]+)", (line \d+, in \w+)$')
_RAISED = re.compile(
    r"(lucidnode(?:\.\w{1,60})+|[A-Z]\w{0,60}(?:Error|Exception|Group|Interrupt))(?::.*)?"
)
"""The last line of a traceback: which class was raised."""

_OF_A_MOUNT = ("durability", "kernel_channel", "head", "checkpoint", "pending", "conflicts")
_OF_A_PEER = ("state", "share")
_PEERS = "office.peers"
"""The one setting that names others."""


def bundle(
    *,
    about: Mapping[str, str],
    config: NodeConfig,
    findings: Sequence[Finding],
    facts: Mapping[str, dict[str, Any] | None],
    metrics: str,
    logs: Mapping[str, str],
    names: bool,
) -> dict[str, str]:
    """Return the files of a bundle. *facts* are what the daemon says by topic, None if none runs.

    *logs* are ends of logs by what they are called here, and *metrics* is their exposition text.
    """
    status, peers = facts.get("status"), facts.get("peers")
    files: dict[str, Any] = {
        "about.json": dict(about),
        "settings.json": _settings(config, names=names),
        "doctor.json": [_finding(one, names=names) for one in findings],
        "status.json": None if status is None else _status(status, names=names),
        "peers.json": None if peers is None else _peers(peers, names=names),
        **{f"{topic}.json": facts.get(topic) for topic in ("stats", "cache", "savings-days")},
    }
    texts = {name: _as_json(content) for name, content in files.items()}
    texts["metrics.txt"] = metrics
    for name, text in logs.items():
        texts[name] = text if names else without_names(text)
    return texts


def without_names(log: str) -> str:
    """Return of *log* when, how seriously and by which part something was said, and where it was raised.

    What was said is left out: it may name anything.
    """
    return "".join(f"{line}\n" for each in log.splitlines() if (line := _bare(each)))


def _bare(line: str) -> str:
    if found := _LINE.match(line):
        return f"{found[1]} {found[2]} {found[3]}"
    if found := _FRAME.match(line):
        return f"  {found[1]}, {found[2]}"
    if found := _RAISED.fullmatch(line):
        return f"  {found[1]}"
    return ""


def _settings(config: NodeConfig, *, names: bool) -> dict[str, Any]:
    """Return the settings that people make; keys, and what opens the bucket, are none of them."""
    told: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        value = setting.of(config)
        if value is None or isinstance(value, int | float) or (names and name == _PEERS):
            told[name] = value
    told["bucket"] = config.bucket_url.partition(":")[0]
    told["named peers"] = len(config.peers)
    told["webhooks in node.json"] = len(config.webhooks)
    return told


def _finding(finding: Finding, *, names: bool) -> dict[str, str]:
    if names:
        told: dict[str, str] = msgspec.structs.asdict(finding)
        return told
    # What is behind a slash is the path of a disk, or of a drive.
    what = finding.what.partition("/")[0].strip()
    return {"what": what or "a drive", "verdict": finding.verdict}


def _status(status: dict[str, Any], *, names: bool) -> dict[str, Any]:
    if names:
        return status
    return {
        "mounts": [{name: each[name] for name in _OF_A_MOUNT} for each in status["mounts"]],
        "uploads": status["uploads"],
        "on_their_way": len(status["on_their_way"]),
        "conflicts": len(status["conflicts"]),
        "peers": status["peers"],
        "alerts": [
            # What comes behind the colon says of what.
            {
                "topic": alert["topic"].partition(":")[0],
                "since": alert["since"],
                "count": alert["count"],
            }
            for alert in status["alerts"]
        ],
    }


def _peers(peers: dict[str, Any], *, names: bool) -> dict[str, Any]:
    if names:
        return peers
    told = [
        {name: peer[name] for name in _OF_A_PEER} | {"totals": peer["totals"]}
        for peer in peers["peers"]
    ]
    return {"share": peers["share"], "peers": told}


def _as_json(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"
