"""`scripts/demo`: the main job end to end, with every byte accounted for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from lab.accounts import difference, since, totals
from lab.app import run_command
from lab.demo_tables import Row, mb, print_places, print_reads, print_sources
from lab.footage import Footage, shoot
from lab.lab import Lab, make, remove
from lab.loopback import LEFT_OUT
from lab.reading import read_through
from lab.record import Plan
from lab.scene import Scene
from lab.workstation import Workstation
from lucidnode.node.prices import LISTS
from lucidnode.node.savings import NodeTotals, day_counts, savings

_LAB = "demo"
_WAN_MBIT = 200.0
_WAN_MS = 20.0
_PRICES = LISTS["aws-s3"]
_BLOCK_BYTES = 1024 * 1024
"""Dollars for a gigabyte (10^9 bytes) out of a large public cloud."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave the lab up afterwards.")
@click.option("--open", "show", is_flag=True, help="Leave it up, and print where things are.")
def demo(keep: bool, show: bool) -> None:
    """Show the main job of Lucidnode on this machine, and where every byte came from."""
    console = Console(highlight=False)
    console.rule("A studio with three workstations")
    lab = _bring_up(console)
    try:
        scene = Scene(lab, _make_footage(lab, console))
        blocks = _copy_in(scene, console)
        _monday_morning(scene, blocks, console)
        _lose_an_owner(scene, console)
        if show:
            print_places(lab.status(), console)
        elif keep:
            console.print("The lab is still up: `scripts/lan status --name demo`.")
    finally:
        if not (keep or show):
            with console.status("clearing up"):
                remove(_LAB)


def _bring_up(console: Console) -> Lab:
    if os.geteuid() == 0:
        plan = Plan(nodes=3, wan_mbit=_WAN_MBIT, wan_ms=_WAN_MS)
        where = f"on a LAN, {_WAN_MBIT:.0f} Mbit/s and {_WAN_MS:.0f} ms from their bucket"
    else:
        plan = Plan(nodes=3, namespaces=False)
        where = "on loopback"
        console.print("This is not root, so everything runs on loopback. Left out:")
        for what in LEFT_OUT:
            console.print(f"  - {what}")
    remove(_LAB)  # left by --keep, or by a run that was killed
    began = time.monotonic()
    with console.status("starting") as spinner:
        lab = make(_LAB, plan, lambda what: spinner.update(f"starting: {what}"))
    console.print(
        f"a, b and c are {where}. a founded the studio and the project `demo`, b and c joined with "
        f"tickets. Mounted on all three after {time.monotonic() - began:.0f} s."
    )
    return lab


def _make_footage(lab: Lab, console: Console) -> Footage:
    with console.status("making footage with ffmpeg"):
        footage = shoot(lab.places.root / "footage")
    stills = len(footage.files) - 2
    console.print(
        f"Footage: a ProRes clip of {mb(footage.clip.stat().st_size)}, {stills} DPX stills and an edit "
        f"list, {mb(footage.size)} in all."
    )
    return footage


def _copy_in(scene: Scene, console: Console) -> int:
    """Copy the footage in on a; returns the number of blocks it became."""
    a, *others = scene.lab.workstations.values()
    began = time.monotonic()
    scene.copy_in(a)
    copied = time.monotonic() - began
    columns = (TextColumn("uploading"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("upload", total=scene.footage.size)
        scene.await_cloud(
            a,
            [scene.there(a, path) for path in scene.footage.files],
            lambda left: progress.update(task, completed=scene.footage.size - left),
        )
    console.print(
        f"a copied it in with `cp -r` in {copied:.1f} s; the last byte was in the cloud after "
        f"{time.monotonic() - began:.1f} s."
    )
    for station in others:
        scene.await_arrival(station)
    scene.await_calm([a, *others])
    return int(a.facts("cache")["blocks"])


def _monday_morning(scene: Scene, blocks: int, console: Console) -> None:
    """Read everything on b and c with cold caches, and account for it."""
    console.rule("Monday morning: every cache is empty, and two editors open the job")
    stations = list(scene.lab.workstations.values())
    scene.empty_caches(stations, scene.inside)
    _, b, c = stations
    clip, stills = scene.footage.clip, scene.footage.stills / "VFX_010.%04d.dpx"
    every = scene.footage.size
    before = {station.name: totals(station) for station in stations}
    rows = [_timed(b, "ffprobe the clip", lambda: scene.probe(b))]
    with ThreadPoolExecutor() as pool:
        at_once = [
            pool.submit(
                _timed,
                station,
                "cmp every file, at once",
                partial(scene.compare, station),
                every,
            )
            for station in (b, c)
        ]
        rows += [each.result() for each in at_once]
    scene.forget_pages([b, c], scene.inside)
    again, whole_clip = "ffmpeg -i the {}, again", clip.stat().st_size
    sequence = sum(path.stat().st_size for path in scene.footage.stills.iterdir())
    rows.append(_timed(b, again.format("stills"), lambda: scene.play(b, stills), sequence))
    rows.append(_timed(c, again.format("clip"), lambda: scene.play(c, clip), whole_clip))
    print_reads(rows, console)

    moved = {s.name: difference(before[s.name], totals(s)) for s in stations}
    print_sources(moved, console)
    whole = sum(moved.values(), start=NodeTotals())
    result = savings(day_counts(whole), _PRICES, _BLOCK_BYTES)
    console.print(
        f"For {blocks} blocks the office sent {whole.block_gets} GETs to the bucket: "
        f"[bold]{whole.block_gets / blocks:.2f} for each block[/]. It needed {mb(result.needed)} "
        f"and downloaded {mb(result.downloaded)}: {result.percent:.0f} % saved by sharing, "
        f"[bold]${result.money_by_office:.3f}[/] at ${_PRICES.per_gb} a gigabyte; what was read again "
        f"from own caches, {mb(result.saved_by_cache)}, is not in it."
    )


def _lose_an_owner(scene: Scene, console: Console) -> None:
    """Take a, which owns a part of the blocks, off the LAN while b reads with an empty cache."""
    console.rule("A cable is pulled in the middle of a read")
    a, b, _ = scene.lab.workstations.values()
    share = a.facts("peers")["share"]
    scene.empty_caches([b], scene.inside)
    before = totals(b)
    there = scene.there(b, scene.footage.clip)
    quarter = there.stat().st_size // 4
    pulled = threading.Event()

    def pull(position: int) -> None:
        if position > quarter and not pulled.is_set():
            pulled.set()
            scene.lab.cut(a.name)

    reading = read_through(there, passed=pull)
    moved = since(b, before, reading.bytes)
    scene.compare(b)
    console.print(
        f"a owns {share:.0%} of the blocks. b began to read the clip with an empty cache; after a "
        f"quarter of it a went dark. b read on: {mb(reading.bytes)} in {reading.seconds:.1f} s, "
        f"[bold]longest wait {reading.longest_wait:.2f} s[/], byte for byte the same. "
        f"{mb(moved.read_peer)} came from peers, {mb(moved.read_bucket)} from the bucket."
    )
    scene.lab.heal(a.name)
    scene.lab.await_peers()
    console.print("a is connected again, and all three have found each other.")


def _timed(station: Workstation, what: str, act: Callable[[], None], expected: int = 1) -> Row:
    """Do *act* on *station*; returns how long it took and what it moved."""
    before, began = totals(station), time.monotonic()
    act()
    seconds = time.monotonic() - began
    return Row(station.name, what, seconds, since(station, before, expected))


if __name__ == "__main__":
    run_command(demo)
