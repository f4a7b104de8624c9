"""A command of ours as a process of its own, whose answer is what it writes.

For work that shall share neither memory nor keys with who has it done.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

from lucidnode.node.client.errors import NodeError


class ProcessFailed(NodeError):
    """It ended otherwise than well, or not in time: its last words."""


async def written_by(
    home: str,
    words: Sequence[str],
    *,
    within_s: float,
    given: bytes | None = None,
) -> bytes:
    """Run `lucidnode WORDS` for *home*, *given* on its standard input; return what it writes.

    Raises ProcessFailed, also when it takes longer than *within_s* seconds. Then, and when this is
    cancelled, it is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-m", "lucidnode", "--home", home, *words],
        stdin=DEVNULL if given is None else PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate(given)
    except TimeoutError:
        raise ProcessFailed("it took too long") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        last = err.decode(errors="replace").strip().splitlines()
        raise ProcessFailed(last[-1] if last else f"it ended with code {process.returncode}")
    return out
