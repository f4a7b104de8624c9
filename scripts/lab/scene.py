"""What editors do with a job's footage on the workstations of a lab, with ordinary programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.footage import Footage
from lab.lab import Lab
from lab.patience import until
from lab.reading import forget
from lab.workstation import Workstation

_FOLDER = Path("shoot")


class Scene:
    """*footage* on the workstations of *lab*. Every program runs where its workstation is."""

    def __init__(self, lab: Lab, footage: Footage) -> None:
        self.lab = lab
        self.footage = footage

    @property
    def inside(self) -> list[Path]:
        """The files of the footage, as paths inside the project."""
        return [_FOLDER / path.relative_to(self.footage.root) for path in self.footage.files]

    def there(self, station: Workstation, path: Path) -> Path:
        """Return where *path* of the footage is on *station*."""
        return station.mount_point / _FOLDER / path.relative_to(self.footage.root)

    # -- what people do ------------------------------------------------------------------------

    def copy_in(self, station: Workstation) -> None:
        """Copy the footage into the project."""
        target = self.there(station, self.footage.root)
        self._run_on(station, "cp", "-r", str(self.footage.root), str(target))

    def compare(self, station: Workstation) -> None:
        """Compare every file with the original. Raises CommandFailed where a byte differs."""
        for path in self.footage.files:
            self._run_on(station, "cmp", str(path), str(self.there(station, path)))

    def probe(self, station: Workstation) -> None:
        """Have ffprobe say what the clip is."""
        asked = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0"]
        said = self._run_on(station, "ffprobe", *asked, str(self.there(station, self.footage.clip)))
        if "prores" not in said:
            raise LabError(f"ffprobe on {station.name} did not recognise the clip: {said!r}")

    def play(self, station: Workstation, source: Path) -> None:
        """Decode *source*, a clip or an image sequence, to the end."""
        there = str(self.there(station, source))
        self._run_on(station, "ffmpeg", "-v", "error", "-xerror", "-i", there, "-f", "null", "-")

    # -- what happens around them --------------------------------------------------------------

    def await_cloud(
        self,
        station: Workstation,
        paths: Iterable[Path],
        waiting: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Return once *paths*, written on *station*, are in the cloud and visible to all.

        Tells *waiting* the bytes that still have to be uploaded.
        """
        station.await_cloud(paths, waiting)

    def await_file(self, path: Path, size: int) -> None:
        """Return once *path* is there in its full size."""
        until(partial(_has_size, path, size), within=60, what=f"{path} did not arrive")

    def await_arrival(self, station: Workstation) -> None:
        """Return once *station* sees all of the footage."""
        for path in self.footage.files:
            self.await_file(self.there(station, path), path.stat().st_size)

    def empty_caches(self, stations: Sequence[Workstation], paths: Sequence[Path]) -> None:
        """Have *stations* forget every block, and the kernel every page of *paths* below mounts."""
        self.forget_pages(stations, paths)
        # Opening files one after the other looks like playing them and starts reading ahead.
        self.await_calm(stations)
        for station in stations:
            self._run_on(station, "lucidnode", "cache", "clear")
        for station in stations:
            until(
                partial(_has_let_go, station),
                within=60,
                what=f"the mount of {station.name} did not let go of its blocks",
            )

    def forget_pages(self, stations: Sequence[Workstation], paths: Sequence[Path]) -> None:
        """Have the kernel forget *paths* below the mounts of *stations*; their caches stay."""
        for station in stations:
            for path in paths:
                forget(station.mount_point / path)

    def await_calm(self, stations: Sequence[Workstation]) -> None:
        """Return once no cache of *stations* has changed for a second.

        Uploaded blocks go from staging into the cache, and copies to their owners, in their own
        time.
        """
        last: tuple[float, list[int]] = (time.monotonic(), [])

        def calm() -> bool:
            nonlocal last
            held = [int(station.facts("cache")["blocks"]) for station in stations]
            if held != last[1]:
                last = (time.monotonic(), held)
            return time.monotonic() - last[0] >= 1

        until(calm, within=60, what="the caches do not come to rest")

    def _run_on(self, station: Workstation, *argv: str) -> str:
        prefix, environment = self.lab.inside(station.name)
        return run([*prefix, *argv], env=environment, within=600)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _has_let_go(station: Workstation) -> bool:
    return not station.reads_dropped_blocks()
