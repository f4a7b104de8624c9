"""The dashboard for everybody: on a phone, with the keyboard, read aloud, light and dark."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import aiohttp
import chromium
import pytest
import screenshots
from dashboard_scene import BEARER, GB, NEAR, FixedUploads, Scene
from lab.places import REPOSITORY

from lucidnode.node.client import mount_messages

pytestmark = pytest.mark.slow

PHONE = 390
LONG = "/".join(["a-directory-with-a-very-long-name-and-no-blank-in-it"] * 4) + "/<b>clip</b>.mov"
CONFLICT = "cut (conflict, edit-2, 2026-11-01 10-00-00).mov"


def full_scene() -> Scene:
    """Return a scene in which every panel has something to show, long names among it."""
    scene = Scene()
    scene.uploads = FixedUploads(600, 6 * GB, 3.0, 0.1 * GB)
    scene.moving = [mount_messages.FileOnItsWay(LONG, "uploading", "edit-2 (Bo)", 5 * GB)]
    scene.leases = [mount_messages.FileLease(LONG, "edit-2", True, 1_790_000_000 * GB)]
    scene.locks = [mount_messages.FileToken("shared.db", "edit-3", None, False)]
    scene.conflicts = [CONFLICT, f"{LONG} (conflict, edit-3, 2026-11-02 10-00-00)"]
    scene.read(conflicts=9, read_memory=GB, read_cache=5 * GB, read_peer=2 * GB, read_bucket=GB)
    scene.happened = [
        mount_messages.ProjectEvent(
            seq=1,
            number=0,
            time_ns=1_790_000_000 * GB,
            event="rename",
            kind="file",
            path=LONG,
            old_path="b.mov",
            state="cloud",
            member="Bo",
            workstation="edit-2",
            device="b" * 32,
        )
    ]
    scene.office.given_to_near = GB
    scene.alerts.begin("cache-disk", f"The disk of {LONG} fails.", "Replace it.")
    return scene


@pytest.fixture
async def page(expected_warnings: list[str]) -> AsyncIterator[chromium.Page]:
    expected_warnings.append("The disk of ")
    scene = full_scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        await page.until("document.querySelectorAll('#feed tbody tr').length === 1")
        await page.value(f"location.hash = 'workstation={NEAR}'")
        await page.until("!document.getElementById('workstation-card').hidden")
        yield page
        assert page.complaints == []


CUT = """
[...document.querySelectorAll('body *')].filter((element) => {
  if (!element.checkVisibility() || element.closest('thead, svg, .meter, .bar')) return false;
  const box = element.getBoundingClientRect();
  return box.right > innerWidth + 0.5 || box.left < -0.5 || element.scrollWidth > element.clientWidth + 1
    && getComputedStyle(element).display !== 'inline';
}).map((element) => `${element.tagName} ${element.id} ${element.className}: ${element.textContent.slice(0, 40)}`)
"""
"""What reaches beyond the screen, or beyond itself so that it scrolls or is cut."""


async def test_nothing_is_cut_and_nothing_scrolls_sideways_on_a_phone(page: chromium.Page) -> None:
    for width in (PHONE, 320, 600, 860, 1200):
        await page.looks(width)
        assert await page.value("document.documentElement.scrollWidth") <= width
        assert await page.value(CUT) == [], width
    hidden = "[...document.querySelectorAll('section[hidden]')].map((card) => card.id)"
    assert await page.value(hidden) == []


async def test_columns_are_apart_and_on_a_phone_each_value_says_what_it_is(
    page: chromium.Page,
) -> None:
    await page.looks(1200)
    gaps = await page.value(
        """[...document.querySelectorAll('td.number + td:not(.number)')].map((cell) =>
            parseFloat(getComputedStyle(cell).paddingLeft))"""
    )
    assert gaps
    assert min(gaps) >= 20
    await page.looks(PHONE)
    cells = "[...document.querySelectorAll('#mounts tbody td')].map((cell) =>"
    said = await page.value(f"{cells} getComputedStyle(cell, '::before').content)")
    assert said[1:4] == ['"Folder"', '"Holds"', '"Snapshots"']  # under the project's name
    tops = await page.value(f"{cells} cell.getBoundingClientRect().top)")
    assert sorted(set(tops)) == tops  # one below the other


@pytest.mark.timeout(90)
async def test_axe_finds_nothing_in_any_panel_light_and_dark_wide_and_narrow(
    page: chromium.Page,
) -> None:
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    axe = (Path(found.origin).parent / "axe.min.js").read_text()
    await page.call("Runtime.evaluate", expression=axe)
    for width, dark in ((1200, False), (1200, True), (PHONE, False), (PHONE, True)):
        await page.looks(width, dark=dark)
        assert await _complaints_of_axe(page, "violations", "incomplete") == []
        # Behind a question it cannot say what is covered.
        await page.value("document.querySelector('#conflicts button').click()")
        assert await _complaints_of_axe(page, "violations") == []
        await page.value("document.getElementById('settle').close()")


async def _complaints_of_axe(page: chromium.Page, *kinds: str) -> list[object]:
    """Return what axe-core complains of, with the elements that are meant."""
    found = await page.value(
        f"axe.run({{resultTypes: {list(kinds)}}}).then((result) => JSON.stringify({list(kinds)}"
        ".flatMap((kind) => result[kind]).map((each) => [each.id, each.nodes.map((node) =>"
        " [node.html, node.failureSummary])])))"
    )
    told: list[object] = json.loads(found)
    return told


async def test_everything_is_done_with_the_keyboard(page: chromium.Page) -> None:
    focused = (
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )
    reached = []
    for _ in range(20):
        await page.press("Tab")
        reached.append(await page.value(focused))
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        if reached[-1] == f"Keep theirs: {CONFLICT}":
            assert await page.value(outline) == "solid"
            break
    assert reached[:2] == [
        "How this is priced",
        f"Keep mine: {CONFLICT}",
    ]  # what waits for a person
    assert reached[-1] == f"Keep theirs: {CONFLICT}"
    await page.press("Enter")
    assert await page.value("document.getElementById('settle').open")
    assert await page.value(focused) == "No"  # what harms nothing comes first
    await page.press("Escape")
    assert not await page.value("document.getElementById('settle').open")
    assert await page.value(focused) == f"Keep theirs: {CONFLICT}"


def test_the_pictures_in_the_documents_are_made_of_this_page(tmp_path: Path) -> None:
    asyncio.run(screenshots.take(tmp_path))
    made = {path.name for path in tmp_path.iterdir()}
    shown = {path.name: path.stat().st_size for path in (REPOSITORY / "docs/images").iterdir()}
    assert made == shown.keys()  # `scripts/screenshots` makes them anew
    assert max(shown.values()) <= screenshots.LARGEST_BYTES
    pages = "".join(path.read_text("utf-8") for path in (REPOSITORY / "docs").rglob("*.md"))
    assert {name for name in made if f"images/{name}" in pages} == made


async def test_a_conflict_is_settled_with_a_button_after_one_question() -> None:
    scene = Scene()
    scene.conflicts = [CONFLICT, "other (conflict, edit-3, 2026-11-02 10-00-00).mov"]
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.querySelectorAll('#conflicts tbody tr').length === 2")
        press = "[...document.querySelectorAll('#conflicts button')].find((button) =>"
        await page.value(f"{press} button.ariaLabel === 'Keep mine: {CONFLICT}').click()")
        assert CONFLICT in await page.value("document.getElementById('settle').textContent")
        assert scene.settled == []
        await page.value("document.getElementById('settle-yes').click()")
        await page.until("document.querySelectorAll('#conflicts tbody tr').length === 1")
        assert scene.settled == [("c" * 32, CONFLICT, "mine")]
        scene.refused = "mounted read-only"
        await page.value("document.querySelector('#conflicts button:nth-of-type(3)').click()")
        await page.value("document.getElementById('settle-yes').click()")
        said = "document.getElementById('conflicts-said').textContent"
        await page.until(f"{said}.endsWith('mounted read-only')")
        assert len(scene.settled) == 1
        scene.conflicts.clear()
        await page.until("document.querySelectorAll('#conflicts tbody tr').length === 0")


async def test_no_page_elsewhere_settles_a_conflict_in_our_name() -> None:
    scene = Scene()
    scene.conflicts = [CONFLICT]
    body = json.dumps({"project": "c" * 32, "path": CONFLICT, "order": "theirs"})
    kind = {"Content-Type": "application/json"}
    async with scene.server() as server:
        cookie = {"Cookie": f"lucidnode-{server.port}={BEARER['Authorization'][7:]}"}
        own = {"Origin": server.url.rstrip("/")}
        async with aiohttp.ClientSession() as session:
            for headers, sent, status in (
                (kind | own, body, 403),  # without the token
                (
                    kind | cookie,
                    body,
                    403,
                ),  # with the cookie alone, as no browser of today sends it
                (kind | cookie | {"Origin": "http://evil.example"}, body, 403),
                (kind | cookie | {"Origin": "null"}, body, 403),
                (cookie | own | {"Content-Type": "text/plain"}, body, 403),  # a form's
                (kind | cookie | own, "{}", 400),
                (kind | cookie | own, body.replace("theirs", "all"), 400),
                (kind | cookie | own, body.replace("cccc", "zzzz"), 400),
                (kind | cookie | own, body.replace(CONFLICT, "x" * 20_000), 413),
                (kind | BEARER, body, 200),
            ):
                assert bool(scene.settled) is False
                async with session.post(
                    f"{server.url}conflicts", data=sent, headers=headers
                ) as answer:
                    assert answer.status == status, (headers, await answer.text())
    assert scene.settled == [("c" * 32, CONFLICT, "theirs")]


async def test_a_workstation_has_a_page_with_what_it_says_of_itself() -> None:
    scene = Scene()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.until("document.body?.dataset.ready === 'yes'")
        cells = "[...document.querySelectorAll('#peers tbody tr')].map((row) =>"
        told = await page.value(f"{cells} [...row.cells].map((cell) => cell.textContent))")
        assert told[0][:4] == ["This workstation", "here", "well", version("lucidnode")]
        assert told[1] == [
            *("192.0.2.12", "connected", "2 alerts", "0.1.0"),
            *("20.0 GB of 80.0 GB, 300 GB free", "4.0 ms", "31 %"),
        ]
        assert told[2][1:6] == ["away", "not heard yet", "", "", "none"]
        # Who gives to whom now: by what the one who gets it counts.
        given = "document.querySelector('#given tbody tr').cells[1].textContent"
        assert await page.value(given) == ""
        scene.office.given_to_near += 8 * GB
        await page.until(f"/^[\\d.]+ [MG]B\\/s to 192\\.0\\.2\\.12$/.test({given})")
        assert await page.value("document.querySelectorAll('#ring .flow').length") == 1
        # Its own page, by the keyboard, and by its address.
        assert await page.value("document.getElementById('workstation-card').hidden")
        await page.value("document.querySelectorAll('#peers button')[1].focus()")
        await page.press("Enter")
        await page.until("!document.getElementById('workstation-card').hidden")
        said = await page.value("document.getElementById('workstation').textContent")
        for words in ("Version0.1.0", "Runs for2.0 h", "Cache20.0 GB of 80.0 GB", "Drives2"):
            assert words in said
        assert "Waits for upload3.00 GB, for 2 min" in said
        assert re.search(r"Amisscache disk since .+, drive", said)
        assert f"Gave to others{25:.1f} GB" in said
        assert (await page.value("location.hash")) == f"#workstation={NEAR}"
        await page.value("document.getElementById('workstation-close').click()")
        await page.until("document.getElementById('workstation-card').hidden")
        assert page.complaints == []
