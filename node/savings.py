"""How much of the bucket's bandwidth the office did without. Pure arithmetic over totals.

The yardstick is a workstation that streams every byte from the bucket: it would have downloaded
what its applications were handed. Block ciphertext downloaded counts against the saving whoever
asked for it, so that an owner's reading through for the office is not hidden.
"""

from __future__ import annotations

import msgspec

GIGABYTE = 10**9
"""Bandwidth is sold by powers of ten."""


class NodeTotals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one node has moved since its daemon started, in bytes.

    `read_*` are plaintext bytes handed to applications, by where their block came from; `unsent`
    were written here and not uploaded yet, so no bucket could have served them.
    """

    read_memory: int = 0
    read_cache: int = 0
    read_peer: int = 0
    read_bucket: int = 0
    read_unsent: int = 0
    written: int = 0
    downloaded: int = 0
    """Block ciphertext from the bucket, for this node or for the office."""
    uploaded: int = 0
    received: int = 0
    """Block ciphertext from peers."""
    served: int = 0
    """Block ciphertext to peers."""
    wasted: int = 0
    """Fetched for nothing: hedged twice, corrupt, or read ahead and never used."""
    block_gets: int = 0
    """GET requests for blocks sent to the bucket."""

    def __add__(self, other: NodeTotals) -> NodeTotals:
        return NodeTotals(*(a + b for a, b in zip(_fields(self), _fields(other), strict=True)))


class Savings(msgspec.Struct, frozen=True):
    """The figures a producer asks for."""

    delivered: int
    """Bytes handed to applications that a bucket could have served."""
    downloaded: int
    saved: int
    percent: float
    money: float
    """Dollars not spent on downloads."""
    wasted: int


def savings(totals: NodeTotals, price_per_gb: float) -> Savings:
    """Return what *totals* saved. Never below zero, never above 100 percent."""
    delivered = totals.read_memory + totals.read_cache + totals.read_peer + totals.read_bucket
    saved = max(0, delivered - totals.downloaded)
    return Savings(
        delivered=delivered,
        downloaded=totals.downloaded,
        saved=saved,
        percent=100.0 * saved / delivered if delivered else 0.0,
        money=saved / GIGABYTE * price_per_gb,
        wasted=totals.wasted,
    )


def _fields(totals: NodeTotals) -> tuple[int, ...]:
    return tuple(getattr(totals, name) for name in totals.__struct_fields__)
