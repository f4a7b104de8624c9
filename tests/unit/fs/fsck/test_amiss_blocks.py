"""What a check keeps of damaged blocks for a repair."""

from __future__ import annotations

from pathlib import Path

from lucidnode.fs.fsck.amiss_blocks import damaged_in, keep_damaged, kept_damaged
from lucidnode.fs.fsck.finding import ObjectFinding
from lucidnode.fs.fsck.project_objects import block_name
from lucidnode.node.client.ids import BlockId

BLOCK = BlockId(b"\x01" * 32)


def test_what_is_kept_is_what_is_there_and_wrong(tmp_path: Path) -> None:
    found = [
        ObjectFinding("block", block_name(BLOCK), "damaged", ""),
        ObjectFinding("block", block_name(BlockId(b"\x02" * 32)), "missing", ""),
        ObjectFinding("block", "strange", "foreign", ""),
        ObjectFinding("journal", "1", "damaged", ""),
    ]
    path = tmp_path / "fsck.damaged"
    keep_damaged(path, damaged_in(found))
    assert kept_damaged(path) == [BLOCK]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_torn_or_strange_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fsck.damaged"
    assert kept_damaged(path) == []
    for strange in (b"", b"\x91", b"\x91\xc4\x02ab", b"\xff" * 40):
        path.write_bytes(strange)
        assert kept_damaged(path) == []
