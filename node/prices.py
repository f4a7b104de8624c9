"""What object stores charge, by their lists, each with source and date. Pure.

The figures are those of each provider's first tier in its cheapest region of the United States, in US dollars, as the
source had them then; a studio's own contract is set over them, figure by figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import msgspec

GIGABYTE: Final = 10**9
BINARY_GIGABYTE: Final = 1 << 30
"""What Amazon and Google count as one: a gibibyte in Google's list, and in the examples of Amazon's questions and answers."""

Provider = Literal["aws-s3", "backblaze-b2", "cloudflare-r2", "google-cloud-storage", "own"]


class PriceList(msgspec.Struct, frozen=True):
    """Dollars for a gigabyte out, for a thousand requests, and for a gigabyte that lies there for a month."""

    provider: Provider
    source: str
    as_of: str
    """Month in which the list said so; empty where a studio has set all itself."""
    per_gb: float
    per_1000_gets: float
    per_1000_puts: float
    per_gb_month: float
    gb_bytes: int = GIGABYTE
    """Bytes of what the provider calls a gigabyte, out of the bucket and in it."""

    def downloads(self, size: int, gets: int) -> float:
        """Return what *size* bytes cost, that were had with so many requests."""
        return size / self.gb_bytes * self.per_gb + gets / 1000 * self.per_1000_gets

    def uploads(self, puts: int) -> float:
        """Return what so many writes cost; bytes into a store are free with all of these."""
        return puts / 1000 * self.per_1000_puts

    def month_of(self, size: int) -> float:
        """Return what *size* bytes cost that lie there for a month."""
        return size / self.gb_bytes * self.per_gb_month

    def above(self, listed: PriceList) -> list[str]:
        """Return the settings of a studio by which this differs from *listed*, its provider's list."""
        figures = ("per_gb", "per_1000_gets", "per_1000_puts", "per_gb_month")
        return [
            f"savings.price-{name.replace('_', '-')}"
            for name in figures
            if getattr(self, name) != getattr(listed, name)
        ]

    def changed(self, own: Mapping[str, float | None]) -> PriceList:
        """Return the list with those of its figures that are set in *own*."""
        known: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        return msgspec.structs.replace(self, **known)


LISTS: Final[Mapping[Provider, PriceList]] = MappingProxyType(
    {
        each.provider: each
        for each in (
            PriceList(
                "aws-s3",
                "https://aws.amazon.com/s3/pricing/",
                "2026-05",
                0.09,
                0.0004,
                0.005,
                0.023,
                BINARY_GIGABYTE,
            ),
            PriceList(
                "backblaze-b2",
                "https://www.backblaze.com/cloud-storage/transaction-pricing",
                "2026-04",
                0.01,
                0.0004,
                0.0,
                0.006,
            ),
            PriceList(
                "cloudflare-r2",
                "https://developers.cloudflare.com/r2/pricing/",
                "2026-08",
                0.0,
                0.00036,
                0.0045,
                0.015,
            ),
            PriceList(
                "google-cloud-storage",
                "https://cloud.google.com/storage/pricing",
                "2026-09",
                0.12,
                0.0004,
                0.005,
                0.02,
                BINARY_GIGABYTE,
            ),
            PriceList("own", "this studio", "", 0.0, 0.0, 0.0, 0.0),
        )
    }
)

PROVIDERS: Final[tuple[Provider, ...]] = get_args(Provider)
