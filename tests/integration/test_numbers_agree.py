"""What was downloaded and saved is one number: on the page, in `savings --json`, in the metrics, at the store."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import chromium
import pytest
from cli_fixture import Workstation, until, workstation
from logged_store import StoreLog, logged
from seaweed_fixture import running_seaweed

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(240)]

MB = 10**6
ON_THE_PAGE = {
    "saved": "saved_by_office",
    "again": "saved_by_cache",
    "downloaded": "downloaded",
    "wasted": "wasted",
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKOWNER", "AWS_SECRET_ACCESS_KEY": "owner-secret-0123456789"}


@pytest.fixture
def store() -> Iterator[StoreLog]:
    with running_seaweed() as real, logged(real.endpoint) as log:
        yield log


def _metrics(station: Workstation, period: str, scope: str) -> dict[str, float]:
    """Return what the metrics say was saved, by figure."""
    page = station.facts("dashboard")["url"]
    address, _, token = page.partition("?token=")
    request = Request(f"{address}metrics", headers={"Authorization": f"Bearer {token}"})
    text = urlopen(request, timeout=10).read().decode()  # on loopback
    found = re.findall(
        rf'^lucidnode_savings_bytes{{figure="(\w+)",period="{period}",scope="{scope}"}} (\S+)$',
        text,
        re.MULTILINE,
    )
    return {figure: float(value) for figure, value in found}


def _shown(size: float) -> str:
    """Return *size* as the page writes it."""
    units = ("B", "KB", "MB", "GB")
    unit = 0
    while size >= 1000:
        size, unit = size / 1000, unit + 1
    return f"{size:.{0 if unit == 0 or size >= 100 else 1 if size >= 10 else 2}f} {units[unit]}"


def _metrics_agree(station: Workstation) -> bool:
    """Tell whether metrics and `savings --json` say the same, figure by figure."""
    told = station.facts("savings")["periods"]
    for period, scope in (("today", "here"), ("month", "office"), ("ever", "office")):
        metrics = _metrics(station, period, scope)
        assert {"from_office", "downloaded", "wasted"} <= metrics.keys()
        if metrics != {figure: told[period][scope][figure] for figure in metrics}:
            return False
    return True


async def _page_agrees(station: Workstation) -> None:
    """Look until the page shows what `savings --json` says of this month."""
    async with (
        chromium.opened(station.facts("dashboard")["url"]) as page,
        asyncio.timeout(60),
    ):
        await page.until("document.body?.dataset.ready === 'yes'")
        while True:
            told = (await asyncio.to_thread(station.facts, "savings"))["periods"]["month"]["office"]
            wanted = {element: _shown(told[figure]) for element, figure in ON_THE_PAGE.items()}
            shown = {
                element: await page.value(f"document.getElementById('{element}').textContent")
                for element in wanted
            }
            if shown == wanted:
                return
            await asyncio.sleep(0.3)


def test_page_command_metrics_and_the_stores_own_log_say_the_same(
    tmp_path: Path, store: StoreLog
) -> None:
    with workstation(tmp_path / "a", KEYS) as ada, workstation(tmp_path / "b", KEYS) as bo:
        ada.unlocked("init", "s3://studio", "--endpoint-url", store.endpoint, "--name", "Ada")
        ada.unlocked("project", "create", "demo")
        ticket, code = ada.unlocked("invite", "--unattended", "--for", "Bo").out.splitlines()
        bo.unlocked(
            *("join", f"@{bo.secret_file('ticket', ticket)}"),
            *("--code-file", bo.secret_file("code", code), "--name", "Bo"),
        )
        port = ada.facts("status")["addresses"]["control_port"]
        bo.ok("config", "set", "office.peers", f"127.0.0.1:{port}")
        bo.unlocked("daemon")
        until(lambda: ada.facts("status")["peers"] == bo.facts("status")["peers"] == 1)
        drives = [station.folder / "drive" for station in (ada, bo)]
        ada.unlocked("mount", "demo", drives[0])
        (drives[0] / "clip").write_bytes(os.urandom(12 * MB))
        ada.ok("wait", drives[0] / "clip")
        bo.unlocked("mount", "demo", drives[1])
        # Both caches are cold; the first reads from the cloud, the second from the first.
        for station in (ada, bo):
            station.ok("cache", "clear")
        until((drives[1] / "clip").exists)
        for drive in drives:
            descriptor = os.open(drive / "clip", os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            while os.read(descriptor, MB):
                pass
            os.close(descriptor)

        def agreed() -> bool:
            one, other = (station.facts("savings")["periods"]["ever"] for station in (ada, bo))
            here = sum(each["here"]["downloaded"] for each in (one, other))
            return bool(
                here == store.downloaded()
                and one["office"] == other["office"]
                and one["office"]["downloaded"] == here
            )

        until(agreed, 60)
        for station in (ada, bo):
            # The store's own log, and what is worth counting at all.
            office = station.facts("savings")["periods"]["ever"]["office"]
            assert office["downloaded"] == store.downloaded() >= 12 * MB
            assert office["block_gets"] == store.gets()
            assert office["saved_by_office"] > 0
            # Looked at again should it be midnight in between.
            until(partial(_metrics_agree, station), 60)
            asyncio.run(_page_agrees(station))
        for station, drive in zip((ada, bo), drives, strict=True):
            station.ok("umount", drive)
