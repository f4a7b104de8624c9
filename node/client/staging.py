"""Where a mount puts sealed blocks, and how: the file layout both planes agree on.

    <cache>/blocks/<aa>/<block id>            the evictable cache, written by the daemon only
    <cache>/staging/<project>/<block id>      acknowledged or about to be; eviction never comes here
    <cache>/staging/<project>/.<name>.tmp     being written; removed by the daemon when stale

`aa` are the first two hex digits of the id.
"""

from __future__ import annotations

from pathlib import Path

from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.ids import BlockId, ProjectId

BLOCKS = "blocks"
STAGING = "staging"


def cached_path(blocks_dir: Path, block: BlockId) -> Path:
    """Return where the cache keeps *block*, held or not."""
    name = block.hex()
    return blocks_dir / name[:2] / name


def staged_path(staging_dir: Path, project: ProjectId, block: BlockId) -> Path:
    """Return where staging keeps *block*, held or not."""
    return staging_dir / project / block.hex()


def stage(staging_dir: Path, project: ProjectId, block: BlockId, ciphertext: bytes) -> None:
    """Write *ciphertext* durably under its name: file and directory are fsynced on return.

    Blocking; call it from a thread. Writing a block that is already staged is a no-op in effect.
    Raises NoSpace when the disk is full, and leaves nothing behind then.
    """
    write_durably(staged_path(staging_dir, project, block), ciphertext)
