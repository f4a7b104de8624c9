"""What `lucidnode status` begins with: who am I, is my work safe, is my drive fast, what must I do. Pure."""

from __future__ import annotations

from typing import Any

from lucidnode.cli.output import counted, duration, in_blocks, is_cache_missing, size
from lucidnode.node.client.alerts import LOST, UNSENT


def status_answers(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the question and the answer of each line; *found* is what `status --json` prints."""
    return [
        ("you", _who(found)),
        ("your work", _safe(found)),
        ("your drives", _fast(found)),
        ("to do", _to_do(found)),
    ]


def _who(found: dict[str, Any]) -> str:
    me = found["me"]
    if me is None:
        return f"workstation {found['device'][:8]}; names show once something is mounted"
    role = f" ({me['role']})" if me["role"] else ""
    return f"{me['member']}{role} at {me['workstation']}"


def _safe(found: dict[str, Any]) -> str:
    """Return where the newest work of this workstation is."""
    uploads = found["uploads"]
    unsent = sum(mount["pending"] for mount in found["mounts"])
    writing = sum(
        not file["device"] and file["state"] == "writing" for file in found["on_their_way"]
    )
    if is_cache_missing(found):
        return "perhaps not all here: the disk of the cache is missing or fails, see below"
    waits = []
    if uploads["blocks"]:
        waits.append(_to_upload(uploads))
    elif unsent:
        waits.append(counted(unsent, "change"))
    if waits:
        return f"safe on this disk; on its way to the cloud: {waits[0]}"
    if any(alert["topic"].partition(":")[0] in {UNSENT, LOST} for alert in found["alerts"]):
        return "safe on this disk, but perhaps not all of it is on its way to the cloud, see below"
    if writing:
        return f"all in the cloud but {counted(writing, 'file')} that a program still writes"
    return "safe in the cloud, all of it"


def _to_upload(uploads: dict[str, Any]) -> str:
    waiting = in_blocks(uploads["bytes"], uploads["blocks"])
    if not uploads["bytes_per_second"]:
        return waiting
    rate, left = size(uploads["bytes_per_second"]), duration(uploads["seconds_left"])
    return f"{waiting}, at {rate}/s {left} left"


def _fast(found: dict[str, Any]) -> str:
    """Return how much of what was read had to come from the cloud, and how long blocks take."""
    if not found["mounts"]:
        return "nothing is mounted"
    speed = found["speed"]
    if not speed["read_bytes"]:
        return "nothing read yet since the daemon started"
    near = 1 - speed["from_cloud_bytes"] / speed["read_bytes"]
    said = f"{near:.0%} of {size(speed['read_bytes'])} read came from this office"
    times = [
        f"within {speed[key]:g} ms from {whom}"
        for key, whom in (("colleague_ms", "a colleague"), ("cloud_ms", "the cloud"))
        if speed[key] is not None
    ]
    return f"{said}; half of the blocks came {', '.join(times)}" if times else said


def _to_do(found: dict[str, Any]) -> str:
    """Return how much there is below that wants a person."""
    away = sum(not each["mounted"] for each in found["persistent"])
    amiss, conflicts = len(found["alerts"]) + away, sum(m["conflicts"] for m in found["mounts"])
    parts = [
        *([f"look at {counted(amiss, 'line')} marked ! below"] if amiss else []),
        *([f"settle {counted(conflicts, 'conflict')}"] if conflicts else []),
    ]
    return ", ".join(parts) or "nothing"


def moving_cells(file: dict[str, Any]) -> list[str]:
    """Return the cells of a file on its way; those of what is not known are empty."""
    # A daemon of an earlier release tells no more than what is left.
    whole, rate, time = (file.get(key) for key in ("bytes", "bytes_per_second", "seconds_left"))
    left = "" if file["bytes_left"] is None else size(file["bytes_left"])
    return [
        f"{file['mountpoint']}/{file['path']}",
        file["state"],
        file["device"] or "this workstation",
        f"{left} of {size(whole)}" if whole is not None else left,
        f"{size(rate)}/s" if rate else "",
        duration(time) if time is not None else "",
    ]
