"""The page of a workstation in a lab of three, in a real browser: true whatever moves, restarts or is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import chromium
import pytest
from lab.errors import CommandFailed
from lab.lab import Lab
from lab.patience import until
from lab.workstation import Workstation
from lab_fixture import PATIENCE, await_cloud, forget_pages, noise, run_on, running_lab, slow_upload

from lucidnode.node.client.clock import SystemClock
from lucidnode.node.dashboard.server import TOKEN_FILE
from lucidnode.node.savings import NodeTotals
from lucidnode.node.status.history import FETCH_BOUNDS_S, FetchTimes, History

pytestmark = [pytest.mark.lan, pytest.mark.fuse, pytest.mark.timeout(400)]

MB = 10**6
DAY_S = 86_400
DAYS = 29
SOURCES = ("memory", "cache", "peer", "bucket", "unsent")
UNITS = ("B", "KB", "MB", "GB")
STATES = {"linked": "connected", "away": "away", "resting": "slow, passed over for now"}
READY = "document.body?.dataset.ready === 'yes'"
ROWS = "[...document.querySelectorAll('{} tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"


class Past(SystemClock):
    """A clock that is so many seconds behind."""

    behind_s = 0

    def wall_ns(self) -> int:
        return super().wall_ns() - self.behind_s * 10**9


async def a_month_of_work(home: Path) -> None:
    """Leave the history of a month in *home*: on each of 29 days 10 MB came from the cloud."""
    clock, total = Past(), 0
    none = [0] * (len(FETCH_BOUNDS_S) + 1)
    async with History.opened(home, clock) as history:
        history.count(
            lambda: (NodeTotals(read_bucket=total, downloaded=total), FetchTimes(none, none))
        )
        for days in range(DAYS, 0, -1):
            clock.behind_s = days * DAY_S
            total += 10 * MB
            history.sample()
            await history.keep()
        clock.behind_s = 0


def shown(size: float) -> str:
    """Return *size* as the page writes it."""
    unit = 0
    while size >= 1000:
        size, unit = size / 1000, unit + 1
    digits = 0 if unit == 0 or size >= 100 else 1 if size >= 10 else 2
    return f"{size:.{digits}f} {UNITS[unit]}"


def meant(words: str) -> float:
    """Return how many bytes the page means by *words*."""
    number, unit = words.split()
    return float(number) * 1000.0 ** UNITS.index(unit)


def text(element: str) -> str:
    return f"document.querySelector({element!r})?.textContent"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with running_lab("page") as found:
        yield found


class Watched:
    """What a page of workstation a shows, beside what commands and metrics there say."""

    def __init__(self, lab: Lab, page: chromium.Page) -> None:
        self._lab = lab
        self._a = lab.workstation("a")
        self._page = page

    def facts(self, topic: str) -> Any:
        """Return what `lucidnode TOPIC --json` prints on a."""
        return json.loads(run_on(self._lab, self._a, "lucidnode", *topic.split(), "--json"))

    def read_by_source(self) -> dict[str, float]:
        """Return the bytes that a has read, by source, as the metrics count them."""
        token = (self._a.home / TOKEN_FILE).read_text()
        request = Request(f"{self._a.record.dashboard}/metrics")
        request.add_header("Authorization", f"Bearer {token}")
        said = self._lab.network.within("a", lambda: urlopen(request, timeout=10).read().decode())
        found = re.findall(
            r'^lucidnode_read_bytes_total{source="(\w+)"} (\S+)$', said, re.MULTILINE
        )
        return {source: float(value) for source, value in found}

    async def is_true_while_data_move(self) -> None:
        """Check that what is shown was counted between two looks at the metrics."""
        before = await asyncio.to_thread(self.read_by_source)
        least = sum(meant(shown(size)) for size in before.values())
        async with asyncio.timeout(30):
            while True:
                rows = await self._page.value(ROWS.format("#sources"))
                found = dict(zip(SOURCES, (meant(row[1]) for row in rows), strict=True))
                if sum(found.values()) > least:
                    break
                await asyncio.sleep(0.2)
        after = await asyncio.to_thread(self.read_by_source)
        for source in SOURCES:
            low, high = (meant(shown(each.get(source, 0))) for each in (before, after))
            assert low <= found[source] <= high, source

    async def agrees(
        self, told: Callable[[], Any], wanted: Callable[[Any], dict[str, Any]]
    ) -> None:
        """Wait until the page shows all that *wanted* makes of what is *told* at that time."""
        async with asyncio.timeout(40):
            while True:
                want = wanted(await asyncio.to_thread(told))
                found = {each: await self._page.value(each) for each in want}
                if found == want:
                    return
                await asyncio.sleep(0.3)

    async def every_panel_is_true(self) -> None:
        """Compare each panel with what the commands and the metrics of the workstation say."""
        await self.agrees(self.read_by_source, _sources)
        await self.agrees(lambda: self.facts("savings"), _savings)
        await self.agrees(lambda: self.facts("peers"), _workstations)
        await self.agrees(lambda: self.facts("status"), _drives)
        await self.agrees(lambda: self.facts("cache show"), _cache)


def _sources(read: dict[str, float]) -> dict[str, Any]:
    sizes = [shown(read.get(source, 0)) for source in SOURCES]
    return {f"{ROWS.format('#sources')}.map(row => row[1])": sizes}


def _savings(told: Any) -> dict[str, Any]:
    month, today = (told["periods"][period]["office"] for period in ("month", "today"))
    return {
        text("#saved"): shown(month["saved_by_office"]),
        text("#saved-today"): shown(today["saved_by_office"]),
        text("#again"): shown(month["saved_by_cache"]),
        text("#downloaded"): shown(month["downloaded"]),
        text("#wasted"): shown(month["wasted"]),
    }


def _workstations(told: Any) -> dict[str, Any]:
    peers = ROWS.format("#peers")
    return {
        f"{peers}.slice(1).map(row => [row[0], row[1], row[3]])": [
            [peer["name"], STATES[peer["state"]], (peer["summary"] or {"version": ""})["version"]]
            for peer in told["peers"]
        ],
        f"{peers}.map(row => row[6])": [
            f"{int(100 * share + 0.5)} %"
            for share in (told["share"], *(peer["share"] for peer in told["peers"]))
        ],
        "document.querySelectorAll('#ring circle').length": 1
        + sum(peer["share"] > 0 for peer in told["peers"]),
    }


def _drives(told: Any) -> dict[str, Any]:
    [mount] = told["mounts"]
    return {
        f"{ROWS.format('#mounts')}.map(row => [row[0], row[1], row[5]])": [
            ["demo", mount["mountpoint"], str(mount["conflicts"])]
        ],
        "[...document.querySelectorAll('#alerts b')].map(each => each.textContent)": [
            alert["cause"] for alert in told["alerts"]
        ],
        f"{ROWS.format('#moving')}.map(row => row[0])": [
            f"{file['mountpoint']}/{file['path']}" for file in told["on_their_way"]
        ],
        f"{ROWS.format('#leases')}.map(row => row[0])": [
            f"{lease['mountpoint']}/{lease['path']}" for lease in told["leases"]
        ],
        f"{ROWS.format('#conflicts')}.length": len(told["conflicts"]),
        text("#uploads"): shown(told["uploads"]["bytes"])
        if told["uploads"]["bytes"]
        else "nothing",
    }


def _is_told_how_fast(colleague: Workstation) -> None:
    """Wait until *colleague* sees how fast the file goes that is on its way from a."""

    def is_told() -> bool:
        told = colleague.facts("status")["on_their_way"]
        [file] = [each for each in told if each["path"] == "slow"] or [None]
        return bool(file and file["bytes_per_second"] and file["bytes_left"] < file["bytes"])

    until(is_told, within=PATIENCE, what="a colleague does not say how far his file is")


def _cache(told: Any) -> dict[str, Any]:
    return {f"{text('#cache')}.split(' in ')[0]": shown(told["bytes"])}


@contextlib.contextmanager
def _reading(*files: Path) -> Iterator[None]:
    """Have a program read *files* again and again, with nothing of them in the kernel."""
    enough = threading.Event()

    def read() -> None:
        while not enough.is_set():
            for file in files:
                forget_pages(file)
                file.read_bytes()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        enough.set()
        reader.join()


def test_every_panel_is_true_while_data_move_a_daemon_restarts_and_a_workstation_is_lost(
    lab: Lab,
) -> None:
    a = lab.workstation("a")
    # A month that went before: the daemon begins with it.
    a.stop()
    asyncio.run(a_month_of_work(a.home))
    lab.start(a)
    lab.await_peers()
    lab.network.within("a", lambda: asyncio.run(_watched(lab)))
    _a_colleague_looks_in(lab)


def _written(lab: Lab, who: Workstation, name: str, size: int) -> None:
    """Have *who* write *size* bytes, and wait until they are in the cloud and everybody sees them."""
    (who.mount_point / name).write_bytes(noise(size))
    await_cloud(who.mount_point / name)
    for each in lab.workstations.values():
        until((each.mount_point / name).exists, within=60, what=f"{name} did not arrive")


async def _watched(lab: Lab) -> None:
    a, b, c = lab.workstations.values()
    url = f"{a.record.dashboard}/?token={(a.home / TOKEN_FILE).read_text()}"
    async with chromium.opened(url) as page:
        watched = Watched(lab, page)
        await page.until(READY)

        # -- data move: one has written, the others read, all the time
        await asyncio.to_thread(_written, lab, b, "clip", 12 * MB)
        with _reading(*(each.mount_point / "clip" for each in (c, a))):
            for _ in range(3):
                await watched.is_true_while_data_move()
        await page.until("document.querySelectorAll('#feed tbody tr').length > 0", 30)
        assert "clip" in await page.value(text("#feed tbody"))
        await watched.every_panel_is_true()
        before = (await asyncio.to_thread(watched.facts, "savings"))["periods"]["month"]["office"]
        assert before["saved_by_office"] > 0

        # -- a colleague has a file open, and one of mine is on its way, which takes its time
        with (b.mount_point / "cut.prproj").open("wb") as cut:
            cut.write(b"a cut")
            cut.flush()
            await page.until(
                f"{ROWS.format('#leases')}.filter(row => row[1] === 'b').length === 1", 30
            )
            with slow_upload(lab, 16):
                await asyncio.to_thread((a.mount_point / "slow").write_bytes, noise(16 * MB))
                await page.until(f"{text('#moving tbody')}.includes('slow')", 30)
                await page.until(f"{text('#moving-rate')}.includes('/s')", 30)
                # Each file has a rate and a time left of its own, here and where others see it.
                await asyncio.to_thread(_is_told_how_fast, b)
                moving = f"{ROWS.format('#moving')}.find(row => row[0].endsWith('/slow'))"
                await page.until(f"{moving}?.[4].includes('/s') && {moving}[5] !== ''", 30)
        await asyncio.to_thread(await_cloud, a.mount_point / "slow", b.mount_point / "cut.prproj")
        await watched.every_panel_is_true()

        # -- a month of history, beside what has just moved
        await page.value("document.querySelector('[data-span=month]').click()")
        await page.until("document.body.dataset.span === 'month'")
        assert await page.value("document.querySelectorAll('#chart rect.bucket').length") >= DAYS
        said = re.search(r"Downloaded([\d.]+ MB)", await page.value(text("#chart-sums")))
        assert said
        assert meant(said[1]) >= DAYS * 10 * MB
        await page.value("document.querySelector('[data-span=minute]').click()")
        assert page.complaints == []

        # -- the daemon dies and is started again: the page goes on, and no figure falls
        assert a.record.daemon
        a.record.daemon.signal(signal.SIGKILL)
        await page.until(f"{text('#connection')} !== 'live'", 20)
        await asyncio.to_thread(lab.start_daemon, a)
        await page.until(f"{text('#connection')} === 'live'", 60)
        await asyncio.to_thread(lab.await_peers)
        await watched.every_panel_is_true()
        after = (await asyncio.to_thread(watched.facts, "savings"))["periods"]["month"]["office"]
        for figure in ("needed", "from_office", "downloaded", "saved_by_cache", "block_gets"):
            assert after[figure] >= before[figure]
        # What a browser says of a port at which nobody answers for a moment, and nothing else.
        here = url.split("/")[2]
        assert [each for each in page.complaints if f"{here}/" not in each] == []
        assert not any(each.startswith("exception") for each in page.complaints)
        page.complaints.clear()

        # -- a workstation is lost
        await asyncio.to_thread(lab.kill, "c")
        await page.until(
            f"{ROWS.format('#peers')}.filter(row => row[1] === 'away').length === 1", 60
        )
        with _reading(a.mount_point / "clip"):
            await watched.is_true_while_data_move()
        await watched.every_panel_is_true()
        assert page.complaints == []
        hosts = {re.sub(r"^\w+://([^/]*).*", r"\1", address) for address in page.requests}
        assert hosts <= {here, "about:blank"}, hosts


def _a_colleague_looks_in(lab: Lab) -> None:
    """Have b open the page of a: once an owner lets members do so, and not before."""
    a, b, _ = lab.workstations.values()
    with pytest.raises(CommandFailed, match=r"config set dashboard\.listen 8441 --global"):
        run_on(lab, b, "lucidnode", "dashboard", "--node", "a")
    secret = ("--passphrase-file", str(a.home.parent / "passphrase"))
    run_on(lab, a, "lucidnode", "config", "set", "dashboard.listen", "8441", "--global", *secret)
    ways: list[dict[str, str]] = []

    def is_open() -> bool:
        with contextlib.suppress(CommandFailed):
            ways.append(
                json.loads(run_on(lab, b, "lucidnode", "dashboard", "--node", "a", "--json"))
            )
        return bool(ways)

    until(is_open, within=PATIENCE, what="the page of a stays closed")
    facts = lab.network.within("b", lambda: asyncio.run(_visit(ways[0])))
    assert [mount["words"]["project"] for mount in facts["mounts"]] == ["demo"]
    assert facts["visitor"] == "a"
    assert str(a.mount_point) not in json.dumps(facts)


async def _visit(way: dict[str, str]) -> Any:
    """Come in at *way* as a browser would, and return what the page is told once a drive is there."""
    pinned = aiohttp.Fingerprint(bytes.fromhex(way["certificate_sha256"].replace(":", "")))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=pinned), cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as session:
        await _text(session, way["url"])
        async with asyncio.timeout(PATIENCE):
            while True:
                facts = json.loads(await _text(session, f"{way['url'].partition('?')[0]}facts"))
                if facts["mounts"]:
                    return facts
                await asyncio.sleep(0.5)


async def _text(session: aiohttp.ClientSession, address: str) -> str:
    async with session.get(address) as answer:
        assert answer.status == 200
        return await answer.text()
