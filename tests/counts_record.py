"""What operations cost at most, as docs/benchmarks/counts.md records it: the table is the record."""

from __future__ import annotations

from lab.places import REPOSITORY

_RECORD = REPOSITORY / "docs" / "benchmarks" / "counts.md"


def recorded(heading: str) -> dict[str, int]:
    """Return the rows of the table below *heading*: a name, and how many at most."""
    _, _, behind = _RECORD.read_text().partition(f"## {heading}\n")
    table, _, _ = behind.partition("\n## ")
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return {name.strip().strip("`"): int(number) for name, number in rows[2:]}
