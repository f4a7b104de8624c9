"""What the demo prints: where bytes came from, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from lab.accounts import delivered
from lab.record import Status
from lucidnode.node.savings import NodeTotals


@dataclass(frozen=True, slots=True)
class Row:
    """One read: who, what, how long, and what it moved."""

    who: str
    what: str
    seconds: float
    moved: NodeTotals


def mb(count: int) -> str:
    """Return *count* bytes in megabytes (10^6), as storage and lines are sold."""
    return f"{count / 1e6:.1f} MB" if count < 100e6 else f"{count / 1e6:.0f} MB"


def print_reads(rows: Sequence[Row], console: Console) -> None:
    """Print one line for each read."""
    table = Table("", "read", title="Time for each read, and where its bytes came from")
    for column in ("seconds", "own cache", "peers", "bucket"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.who, row.what, f"{row.seconds:.2f}", *_sources(row.moved))
    console.print(table)


def print_sources(moved: Mapping[str, NodeTotals], console: Console) -> None:
    """Print one line for each workstation, and the office below."""
    table = Table("", title="Where every byte came from")
    for column in ("own cache", "peers", "bucket", "given to peers", "downloaded", "GETs"):
        table.add_column(column, justify="right")
    whole = sum(moved.values(), start=NodeTotals())
    for name, count in [*moved.items(), ("office", whole)]:
        if name == "office":
            table.add_section()
        traffic = (mb(count.served), mb(count.downloaded), str(count.block_gets))
        table.add_row(name, *_sources(count), *traffic)
    console.print(table)
    console.print(
        "Own cache, peers and bucket: bytes handed to programs, by where their block came from. "
        "Downloaded: what this workstation fetched from the bucket, for itself or, as the owner of "
        "a block, for the office.",
        style="dim",
    )


def print_places(status: Status, console: Console) -> None:
    """Print where things are in a lab that stays up."""
    console.rule("Still up")
    for node in status.nodes:
        console.print(f"{node.name}  files      {node.mount}", soft_wrap=True)
        dashboard = node.metrics_url.replace("/metrics?", "/?")
        console.print(f"   dashboard  {dashboard} on that workstation", soft_wrap=True)
    if status.s3 is not None:
        console.print(f"bucket        {status.bucket_url} at {status.s3.endpoint}", soft_wrap=True)
    console.print("\nscripts/lan exec --name demo b lucidnode savings", soft_wrap=True)
    console.print("scripts/lan down --name demo")


def _sources(count: NodeTotals) -> tuple[str, str, str]:
    # Segments decrypted a moment ago were in this workstation's cache as well.
    own = count.read_cache + count.read_memory + count.read_unsent
    assert own + count.read_peer + count.read_bucket == delivered(count)
    return mb(own), mb(count.read_peer), mb(count.read_bucket)
