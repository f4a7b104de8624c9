"""The dashboard in a real browser: its numbers are the metrics, and it asks nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
from pathlib import Path

import aiohttp
import chromium
import pytest
from dashboard_scene import BEARER, GB, TOKEN, FixedUploads, Scene
from lab.free_ports import free_ports

from lucidnode.node.blocks.indexers import IndexerCounts
from lucidnode.node.bucket.counted import Request
from lucidnode.node.client import mount_messages
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.supervision import Supervisor
from lucidnode.node.dashboard.last_port import USUAL_PORT, last_port, note_port
from lucidnode.node.dashboard.server import COOKIE_S, DashboardServer
from lucidnode.node.peers.errors import PortTaken
from lucidnode.node.peers.listener import MAX_UNAUTHENTICATED_FROM_ONE
from lucidnode.node.peers.memory_budget import MemoryBudget


def metric(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"{name} is not exported"
    return float(found[1])


@pytest.mark.slow
async def test_the_page_shows_what_the_metrics_count_while_data_moves() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        for step in (1, 2):
            scene.metrics.bucket_request(Request("get", "block", received=GB, outcome="done"))
            scene.metrics.came("peer", 20 * GB)
            scene.metrics.came("bucket", GB)
            scene.read(
                read_memory=step * GB,
                read_cache=step * 5 * GB,
                read_again=step * 3 * GB,
                read_peer=step * 20 * GB,
            )
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{server.url}metrics", headers=BEARER) as answer,
            ):
                text = await answer.text()
            counted = metric(text, 'lucidnode_read_bytes_total{source="peer"}')
            assert counted == step * 20 * GB
            shown = f"{counted / GB:.1f} GB"
            await page.until(
                "document.querySelectorAll('#sources tbody tr')[2].cells[1].textContent"
                f" === {shown!r}"
            )
            # Needed were 21 GB a step here, 41 GB there on each of two days; downloaded 1 a step, and 2.
            told = (await scene.page_facts())["savings"]["periods"]
            for period, saved, again in (
                ("today", step * 20 + 39, step * 3 + 7),
                ("month", step * 20 + 78, step * 3 + 14),
            ):
                assert told[period]["office"]["saved_by_office"] == saved * GB
                assert told[period]["office"]["saved_by_cache"] == again * GB
                for scope, figures in ((s, told[period][s]) for s in ("here", "office")):
                    for figure, value in figures.items():
                        if figure == "percent":
                            continue
                        of = figure.removeprefix("money_")
                        unit = "bytes" if figure == of else "dollars"
                        unit = "requests" if figure.startswith(("block_", "requests_")) else unit
                        labels = f'figure="{of}",period="{period}",scope="{scope}"'
                        assert metric(text, f"lucidnode_savings_{unit}{{{labels}}}") == value
                suffix = "-today" if period == "today" else ""
                for name, figure in ((f"saved{suffix}", saved), (f"again{suffix}", again)):
                    shown = (
                        f"{figure:.0f} GB"
                        if figure >= 100
                        else f"{figure:.{1 + (figure < 10)}f} GB"
                    )
                    element = f"document.getElementById('{name}').textContent"
                    await page.until(f"{element} === {shown!r}")
        assert await page.value("document.getElementById('indexers').hidden")
        scene.indexers["tumblerd"] = IndexerCounts(files=3, fetched=48 * 10**6, withheld=2 * GB)
        await page.until("!document.getElementById('indexers').hidden")
        assert await page.value("document.getElementById('indexers').textContent") == (
            "Held back, for they look into files by themselves: "
            "tumblerd (48.0 MB fetched for it, 2.00 GB not)."
        )
        assert await page.value("document.querySelector('#mounts tbody b').textContent") == "demo"
        hosts = {re.sub(r"^\w+://([^/]*).*", r"\1", url) for url in page.requests}
        assert hosts <= {f"127.0.0.1:{server.port}", "about:blank"}, hosts


@pytest.mark.slow
async def test_the_page_shows_the_last_hour_day_and_month() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        for span, words, of, step, top in (
            ("hour", "an hour ago", "the last hour", "10 s", "800 MB"),  # 8 GB in a step
            ("day", "24 hours ago", "the last 24 hours", "5 min", "26.7 MB"),
            ("month", "30 days ago", "the last 30 days", "2.0 h", "1.11 MB"),
        ):
            await page.value(f"document.querySelector('[data-span={span}]').click()")
            await page.until(f"document.body.dataset.span === {span!r}")
            assert await page.value("document.querySelectorAll('#chart rect').length") == 2
            said = await page.value("document.getElementById('chart-sums').textContent")
            assert said == (
                "Read8.00 GBHit rate: here already75 %From colleagues0 BTo colleagues0 B"
                "Downloaded0 BUploaded5.00 GB"
            )
            took = "[...document.querySelectorAll('#latency tbody tr')].map(row => row.textContent)"
            assert await page.value(took) == [
                "from a colleague3 ms10 ms30 ms",
                "from the cloud–––",  # noqa: RUF001  # nothing came
            ]
            spans = "[...document.querySelectorAll('.sums-of')].map(each => each.textContent)"
            assert await page.value(spans) == [of] * 2
            assert words in await page.value("document.getElementById('chart-from').textContent")
            shown = await page.value("document.getElementById('chart-step').textContent")
            assert shown == f"each bar {step}"
            assert (
                await page.value("document.getElementById('scale-top').textContent") == f"{top}/s"
            )
        legend = "[...document.querySelectorAll('.legend li')].map((each) => each.textContent)"
        assert (
            len(await page.value(legend))
            == len(("memory", "cache", "peer", "bucket", "unsent")) + 1
        )
        pressed = "document.querySelectorAll('.spans [aria-pressed=true]').length"
        assert await page.value(pressed) == 1
        await page.value("document.querySelector('[data-span=minute]').click()")
        # Beside the last minute stands the last hour.
        await page.until("document.body.dataset.span === 'minute'")
        assert await page.value("document.querySelector('.sums-of').textContent") == "the last hour"
        # An empty chart says that it is one, and not that nothing is known.
        hidden = "document.getElementById('chart-none').hidden"
        assert not await page.value(hidden)
        scene.read(read_peer=GB)
        await page.until(hidden)
    async with scene.server() as server, aiohttp.ClientSession() as session:
        for query, status in (("?span=year", 400), ("", 400), ("?span=day", 200)):
            async with session.get(f"{server.url}history{query}", headers=BEARER) as answer:
                assert answer.status == status


@pytest.mark.slow
async def test_the_page_shows_files_on_their_way_here_and_elsewhere() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        assert await page.value("document.getElementById('moving-card').hidden")
        scene.uploads = FixedUploads(600, 6 * GB, 3.0, 0.1 * GB)
        scene.moving = [
            mount_messages.FileOnItsWay(
                "shots/<b>1</b>.mov", "uploading", "", 5 * GB, 7 * GB, GB // 20, 100.0
            ),
            mount_messages.FileOnItsWay("cut.mov", "writing", "edit-2", None),
            mount_messages.FileOnItsWay("mix.wav", "uploading", "edit-2", GB, 2 * GB, 0, None),
        ]
        text = "document.querySelector('#moving-card').innerText"
        await page.until(f"{text}.includes('mix.wav')")
        rows = "[...document.querySelectorAll('#moving tbody tr')]"
        cells = f"{rows}.map((row) => [...row.cells].map((cell) => cell.textContent).join('|'))"
        assert await page.value(f"{cells}.join(';')") == (
            "/home/ada/demo/shots/<b>1</b>.mov|being uploaded|this workstation|5.00 GB of 7.00 GB|50.0 MB/s|2 min;"
            "/home/ada/demo/cut.mov|being written|edit-2|||;"
            "/home/ada/demo/mix.wav|being uploaded|edit-2|1.00 GB of 2.00 GB||"
        )
        rate = await page.value("document.getElementById('moving-rate').textContent")
        assert rate == "100 MB/s, all of this workstation's in 60 s"
        scene.moving.clear()
        await page.until("document.getElementById('moving-card').hidden")


@pytest.mark.slow
async def test_long_lists_wait_behind_a_button_and_what_says_the_same_stays_as_it_is() -> None:
    scene = Scene()
    scene.moving = [
        mount_messages.FileOnItsWay(f"{number}.mov", "uploading", "", GB) for number in range(40)
    ]
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        rows = "document.querySelectorAll('#moving tbody tr')"
        await page.until(f"{rows}.length === 10")
        button = "document.querySelector('#moving + .more button')"
        assert await page.value(f"{button}.textContent") == "Show all 40"
        await page.value(f"{rows}[3].marked = {rows}[4].marked = true; {button}.click()")
        assert await page.value(f"{rows}.length") == 40
        assert await page.value(f"{button}.textContent") == "Show the first 10"
        assert await page.value(f"{button}.click(), {rows}.length") == 10
        assert await page.value(f"{button}.click(), {rows}.length") == 40
        # What somebody selects is not drawn away under his hand, each second.
        scene.moving[4] = mount_messages.FileOnItsWay("4.mov", "uploading", "", GB // 2)
        await page.until(f"{rows}[4].textContent.includes('500 MB')")
        assert await page.value(f"{rows}[3].marked")
        assert not await page.value(f"{rows}[4].marked")
        del scene.moving[5:]
        await page.until(f"{rows}.length === 5")
        assert await page.value("document.querySelector('#moving + .more').hidden")


@pytest.mark.slow
async def test_the_page_shows_who_has_which_file_for_himself() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        assert await page.value("document.getElementById('leases-card').hidden")
        scene.leases = [
            mount_messages.FileLease("<b>cut</b>.prproj", "edit-2", False, 0),
            mount_messages.FileLease("notes.txt", "", True, 0),
        ]
        rows = "[...document.querySelectorAll('#leases tbody tr')]"
        await page.until(f"{rows}.length === 2")
        cells = f"{rows}.map((row) => [...row.cells].map((cell) => cell.textContent).join('|'))"
        assert await page.value(f"{cells}.join(';')") == (
            "/home/ada/demo/<b>cut</b>.prproj|edit-2|it is open;"
            "/home/ada/demo/notes.txt|this workstation|somebody locked it"
        )
        scene.leases.clear()
        await page.until("document.getElementById('leases-card').hidden")


@pytest.mark.slow
async def test_the_page_names_conflict_copies_until_they_are_settled() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        assert await page.value("document.getElementById('conflicts-card').hidden")
        scene.read(conflicts=9)
        scene.conflicts = [f"<b>{number}</b> (conflict, berta, …).txt" for number in range(9)]
        rows = "[...document.querySelectorAll('#conflicts tbody tr')].map((row) => row.textContent)"
        await page.until(f"{rows}.length === 8")
        first = await page.value(f"{rows}[0]")
        assert first.startswith("/home/ada/demo/<b>0</b> (conflict, berta, …).txt")
        more = "document.getElementById('conflicts-more').textContent"
        assert await page.value(more) == "and 1 more: lucidnode conflicts list"
        scene.read(conflicts=0)
        scene.conflicts.clear()
        await page.until("document.getElementById('conflicts-card').hidden")


@pytest.mark.slow
async def test_the_page_draws_the_ring_and_tells_what_happened_and_what_is_amiss(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("The disk fails.")
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        # The ring: an arc for each, as long as its share, in the colour of its row.
        arcs = await page.value(
            "[...document.querySelectorAll('#ring circle')].map(arc =>"
            " parseFloat(arc.getAttribute('stroke-dasharray')) + 1).join()"
        )
        around = 2 * math.pi * 46
        for drawn, share in zip(map(float, str(arcs).split(",")), (0.35, 0.31, 0.34), strict=True):
            assert abs(drawn / around - share) < 0.01
        assert await page.value("document.querySelectorAll('#peers .swatch').length") == 3
        # A project: what it holds, and its newest snapshots.
        row = str(await page.value("document.querySelector('#mounts tbody tr').textContent"))
        assert "7.00 GB in 1,200 files and folders" in row
        assert "day 11, day 12" in row
        # The feed, as it comes; what a person named stays text.
        assert await page.value("document.getElementById('feed-card').hidden") is True
        await page.value(
            "(() => { const real = window.fetch; window.fetch = (url) => {"
            " if (!url.startsWith('/changes')) return real(url);"
            " window.fetch = real; window.broken = true; return Promise.resolve(new Response('{')); } })()"
        )
        await page.until(
            "window.broken === true"
        )  # an answer that breaks off, and is asked for again
        for number, (path, event) in enumerate((("reel/<b>cut</b>.mov", "write"), ("x", "lock"))):
            scene.happened.append(
                mount_messages.ProjectEvent(
                    seq=number + 1,
                    number=0,
                    time_ns=1_790_000_000 * GB + number,
                    event=event,  # type: ignore[arg-type]
                    kind="file",
                    path=path,
                    state="cloud",
                    member="Bo",
                    workstation="edit-2",
                    device="b" * 32,
                )
            )
        await page.until("document.querySelectorAll('#feed tbody tr').length === 2")
        told = str(await page.value("document.querySelector('#feed tbody').textContent"))
        assert "Bo (edit-2)lockedx" in told
        assert "Bo (edit-2)wrotereel/<b>cut</b>.mov" in told
        # Alarms: what, since when, and what helps.
        assert await page.value("document.getElementById('alerts').hidden") is True
        scene.alerts.begin("cache-disk", "The disk fails.", "Replace it.")
        await page.until("document.querySelectorAll('#alerts li').length === 1")
        said = str(await page.value("document.querySelector('#alerts li').textContent"))
        assert re.fullmatch(r"The disk fails\.Replace it\.Since today, .+", said), said
        scene.alerts.end("cache-disk")
        await page.until("document.getElementById('alerts').hidden")
        assert len(scene.readers) == 1
        hosts = {re.sub(r"^\w+://([^/]*).*", r"\1", url) for url in page.requests}
        assert hosts <= {f"127.0.0.1:{server.port}", "about:blank"}, hosts


@pytest.mark.parametrize(
    "query",
    [
        "",
        "project=zz&reader=0123456789abcdef",
        f"project={'c' * 32}&reader=me",
        f"project={'c' * 32}&reader=0123456789abcdef&after=-1",
        f"project={'c' * 32}&reader=0123456789abcdef&after=1&told={'9' * 17}",
        f"project={'e' * 32}&reader=0123456789abcdef",
    ],
)
async def test_what_is_no_question_for_changes_is_none(query: str) -> None:
    scene = Scene()
    async with (
        scene.server() as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}changes?{query}", headers=BEARER) as answer,
    ):
        assert answer.status == (503 if "e" * 32 in query else 400)


async def test_a_page_elsewhere_cannot_read_the_facts_through_a_browser_here() -> None:
    scene = Scene()
    async with scene.server() as server, aiohttp.ClientSession(headers=BEARER) as session:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            async with session.get(f"{server.url}facts", headers=headers) as answer:
                assert answer.status == 403
        async with session.get(f"{server.url}facts") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("path", ["", "facts", "live", "metrics", "page.js"])
async def test_without_the_token_nobody_sees_anything(path: str) -> None:
    wrong = {"Authorization": f"Bearer {TOKEN[:-1]}x"}
    async with Scene().server() as server, aiohttp.ClientSession() as session:
        for query, headers in (("", {}), ("?token=", {}), ("", wrong), ("?token=\u00e9", {})):
            async with session.get(f"{server.url}{path}{query}", headers=headers) as answer:
                assert answer.status == 403
                assert "aiohttp" not in answer.headers["Server"]


async def test_the_token_leaves_the_address_for_a_cookie_that_other_sites_do_not_get() -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, as browsers keep them
    async with Scene().server() as server, aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(server.way_in, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert f"Max-Age={COOKIE_S}" in cookie  # a bookmark outlives the browser's window
        async with session.get(f"{server.url}page.js") as answer:
            assert answer.status == 200


async def test_who_opens_connections_and_proves_nothing_keeps_nobody_out() -> None:
    async with Scene().server() as server, contextlib.AsyncExitStack() as stack:
        before = len(os.listdir("/proc/self/fd"))
        half = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(half)
        opened = len(os.listdir("/proc/self/fd")) - before
        async with (
            aiohttp.ClientSession(headers=BEARER) as session,
            session.get(f"{server.url}metrics") as answer,
        ):
            assert answer.status == 200
        assert opened < 200 + MAX_UNAUTHENTICATED_FROM_ONE + 64


async def test_a_taken_port_is_one_clear_sentence() -> None:
    scene = Scene()
    async with scene.server() as server:
        other = DashboardServer(
            server.port,
            last_port=server.port,
            token=TOKEN,
            clock=SystemClock(),
            tasks=Supervisor(scene.alerts, SystemClock()),
            memory=MemoryBudget(1 << 29),
            connections=1,
        )
        with pytest.raises(PortTaken, match=r"taken.*dashboard_port"):
            async with other.serving(scene.shown(), scene.metrics.text):
                pass


async def test_the_page_is_where_it_was_unless_another_program_is_there_now() -> None:
    [was] = free_ports(1)
    async with Scene().server(None, last_port=was) as first:
        assert first.port == was
        async with Scene().server(None, last_port=was) as other:
            assert other.port not in {0, was}
    async with Scene().server(None, last_port=was) as again:
        assert again.port == was


def test_the_port_is_noted_and_a_damaged_note_is_none(tmp_path: Path) -> None:
    note = tmp_path / "dashboard.port"
    assert last_port(note) == USUAL_PORT
    note_port(note, 50123)
    assert last_port(note) == 50123
    for damaged in (b"", b"0", b"70000", b"-1", b"\xff\x00", b"9" * 5000):
        note.write_bytes(damaged)
        assert last_port(note) == USUAL_PORT
    note_port(tmp_path / "no such" / "folder", 50123)  # costs a bookmark, no start


async def test_no_answer_names_the_software_behind_it() -> None:
    async with Scene().server() as server:
        for request in (
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
            + TOKEN.encode()
            + b"\r\n\r\n",
            b"BREW / HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
            b"\x16\x03\x01nonsense\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
            assert b"\r\nServer: lucidnode\r\n" in head
            assert b"aiohttp" not in head
            assert b"Python" not in head
