"""The whole product on one workstation: what moves through a real mount is what the page shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import chromium
import pytest

PASSPHRASE = "correct horse battery"
MIB = 1024 * 1024

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(120)]


class Workstation:
    """A home of its own, driven through the command line as a person would."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.mount = root / "mount"
        self.mount.mkdir()
        self._passphrase = root / "passphrase"
        self._passphrase.touch(mode=0o600)
        self._passphrase.write_text(PASSPHRASE)

    async def run(self, *arguments: str, unlock: bool = False) -> str:
        extra = ["--passphrase-file", str(self._passphrase)] if unlock else []
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-P", "-m", "lucidnode", "--home", str(self.home)],
            *arguments,
            *extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    async def metric(self, url: str, name: str) -> int:
        address, _, token = url.partition("?")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{address}metrics?{token}") as answer,
        ):
            text = await answer.text()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0


@pytest.fixture
async def workstation(tmp_path: Path) -> AsyncIterator[Workstation]:
    one = Workstation(tmp_path)
    await one.run("init", f"file://{tmp_path}/bucket", unlock=True)
    try:
        await one.run("project", "create", "feature film", unlock=True)
        await one.run("mount", "feature film", str(one.mount), unlock=True)
        yield one
    finally:
        await one.run("umount", str(one.mount))
        await one.run("exit")


def shown(size: int) -> str:
    """Return *size* as the page writes it."""
    value, unit = float(size), 0
    while value >= 1000:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f} {('B', 'KB', 'MB', 'GB')[unit]}"


async def test_the_page_and_the_metrics_agree_while_files_are_read(
    workstation: Workstation,
) -> None:
    url = json.loads(await workstation.run("dashboard", "--json"))["url"]
    clip = workstation.mount / "clip.mov"
    await asyncio.to_thread(clip.write_bytes, secrets.token_bytes(24 * MIB))
    async with chromium.opened(url) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        assert await page.value("document.querySelector('#mounts b').textContent") == "feature film"
        for _ in range(3):
            await asyncio.to_thread(drop_and_read, clip)
        read = await settled(workstation, url)
        assert sum(read.values()) >= 3 * 24 * MIB
        for row, source in enumerate(("memory", "cache", "peer", "bucket", "unsent")):
            await page.until(
                f"document.querySelectorAll('#sources tbody tr')[{row}].cells[1].textContent"
                f" === {shown(read[source])!r}"
            )
        hosts = {re.sub(r"^\w+://([^/]*)/.*", r"\1", address) for address in page.requests}
        assert hosts <= {url.split("/")[2], "about:blank"}


async def settled(workstation: Workstation, url: str) -> dict[str, int]:
    """Return the bytes read by source, once two looks two seconds apart agree."""
    before: dict[str, int] = {}
    while True:
        now = {
            source: await workstation.metric(
                url, f'lucidnode_read_bytes_total{{source="{source}"}}'
            )
            for source in ("memory", "cache", "peer", "bucket", "unsent")
        }
        if now == before and any(now.values()):
            return now
        before = now
        await asyncio.sleep(2)


def drop_and_read(file: Path) -> None:
    """Read *file* without the kernel's help: its pages are dropped first."""
    with file.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while stream.read(MIB):
            pass
