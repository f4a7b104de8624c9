"""The pictures of the dashboard in docs/images: a scene with set figures, in a real browser.

`scripts/screenshots` makes them anew. What they show is the page as it is, of a studio that is made up.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

import chromium
from dashboard_scene import GB, NEAR, FixedUploads, Scene

from lucidnode.node.blocks.indexers import IndexerCounts
from lucidnode.node.client import mount_messages

LARGEST_BYTES = 120_000
"""Of one picture: people read the documents on a slow line, too."""

WIDE, PHONE = 1160, 390


def studio() -> Scene:
    """Return a scene as an afternoon in a studio might be."""
    scene = Scene()
    scene.office.names = {"a" * 32: "edit-2 (Bo)", "b" * 32: "grading (Cy)"}
    scene.uploads = FixedUploads(600, 6 * GB, 3.0, 0.1 * GB)
    scene.moving = [
        mount_messages.FileOnItsWay(
            "reel 4/shot 0310.mov", "uploading", "", 5 * GB, 8 * GB, 42_000_000, 119.0
        ),
        mount_messages.FileOnItsWay("cuts/main.prproj", "writing", "edit-2 (Bo)", None),
    ]
    scene.leases = [
        mount_messages.FileLease("cuts/main.prproj", "edit-2 (Bo)", False, 1_790_000_000 * GB)
    ]
    scene.conflicts = ["notes (conflict, edit-2, 2026-11-26 14-10-00).txt"]
    scene.read(
        conflicts=1, read_memory=9 * GB, read_cache=65 * GB, read_peer=42 * GB, read_bucket=4 * GB
    )
    scene.indexers = {"tumblerd": IndexerCounts(files=31, fetched=180 * 10**6, withheld=6 * GB)}
    happened: list[tuple[mount_messages.EventKind, str, str, str]] = [
        ("create", "reel 4/shot 0310.mov", "Ada", "edit-1"),
        ("write", "cuts/main.prproj", "Bo", "edit-2"),
        ("lock", "cuts/main.prproj", "Bo", "edit-2"),
    ]
    scene.happened = [
        mount_messages.ProjectEvent(
            seq=number + 1,
            number=0,
            time_ns=(1_790_000_000 + 60 * number) * GB,
            event=event,
            kind="file",
            path=path,
            state="cloud",
            member=member,
            workstation=workstation,
            device="b" * 32,
        )
        for number, (event, path, member, workstation) in enumerate(happened)
    ]
    return scene


async def take(folder: Path) -> None:
    """Write every picture into *folder*."""
    scene = studio()
    async with scene.server() as server, chromium.opened(server.way_in) as page:
        await page.call("Emulation.setTimezoneOverride", timezoneId="UTC")
        await page.call("Emulation.setLocaleOverride", locale="en-GB")
        await page.looks(WIDE)
        await page.until("document.querySelectorAll('#feed tbody tr').length === 3")
        await page.value("document.querySelector('[data-span=day]').click()")
        await page.until("document.body.dataset.span === 'day'")
        for name, width, dark in (
            ("dashboard", WIDE, False),
            ("dashboard-dark", WIDE, True),
            ("dashboard-phone", PHONE, False),
        ):
            await page.looks(width, dark=dark)
            await _picture(page, folder / f"{name}.webp", width, 1500)
        await page.looks(WIDE)
        await page.value(f"location.hash = 'workstation={NEAR}'")
        await page.until("!document.getElementById('workstation-card').hidden")
        await page.value("document.getElementById('workstation-card').scrollIntoView()")
        box = await page.value(
            "(() => { const box = document.getElementById('workstation-card').getBoundingClientRect();"
            " return {x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height} })()"
        )
        await _shot(page, folder / "dashboard-workstation.webp", box)


async def _picture(page: chromium.Page, path: Path, width: int, most: int) -> None:
    height = min(most, await page.value("document.documentElement.scrollHeight"))
    await _shot(page, path, {"x": 0, "y": 0, "width": width, "height": height})


async def _shot(page: chromium.Page, path: Path, box: dict[str, float]) -> None:
    shot = await page.call(
        "Page.captureScreenshot",
        format="webp",
        quality=70,
        captureBeyondViewport=True,
        clip={**box, "scale": 1},
    )
    await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
