"""Tells the daemon which cached blocks were read, so that it evicts others first."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NoReturn, Protocol

from lucidnode.fs.read.block_files import BlockFiles
from lucidnode.node.client.clock import Clock
from lucidnode.node.client.errors import NodeError
from lucidnode.node.client.ids import BlockId, ProjectId

TOUCH_INTERVAL_S = 5.0
"""How often it hears of them."""


class TouchedService(Protocol):
    """What the daemon does with them (DaemonBlocks)."""

    async def touched(self, project: ProjectId, blocks: Sequence[BlockId]) -> None:
        """Note that *blocks* were read. Raises a NodeError."""


async def report_touched(
    daemon: TouchedService, project: ProjectId, files: BlockFiles, clock: Clock
) -> NoReturn:
    """Tell *daemon* what was read from *files*, until cancelled."""
    while True:
        await clock.sleep(TOUCH_INTERVAL_S)
        touched = await files.take_touched()
        if touched:
            # The order of eviction is a matter of speed: what the daemon misses is no loss.
            with contextlib.suppress(NodeError):
                await daemon.touched(project, touched)
