"""What editors do with a job's footage on the workstations of a lab, with ordinary programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.footage import Footage
from lab.lab import Lab
from lab.patience import until
from lab.reading import forget
from lab.workstation import Workstation

_FOLDER = "shoot"


class Scene:
    """*footage* on the workstations of *lab*. Every program runs where its workstation is."""

    def __init__(self, lab: Lab, footage: Footage) -> None:
        self.lab = lab
        self.footage = footage

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
        if "dnxhd" not in said:
            raise LabError(f"ffprobe on {station.name} did not recognise the clip: {said!r}")

    def play(self, station: Workstation, source: Path) -> None:
        """Decode *source*, a clip or an image sequence, to the end."""
        there = str(self.there(station, source))
        self._run_on(station, "ffmpeg", "-v", "error", "-xerror", "-i", there, "-f", "null", "-")

    # -- what happens around them --------------------------------------------------------------

    def await_uploads(
        self, station: Workstation, waiting: Callable[[int], None] = lambda _: None
    ) -> None:
        """Return once all that *station* wrote is in the cloud; tells *waiting* the bytes left."""

        def done() -> bool:
            facts = station.facts("status")
            waiting(facts["uploads"]["bytes"])
            pending = sum(mount["pending"] for mount in facts["mounts"])
            return not facts["uploads"]["blocks"] and not pending

        until(done, within=600, what=f"what {station.name} wrote is not in the cloud")

    def await_file(self, path: Path, size: int) -> None:
        """Return once *path* is there in its full size."""
        until(partial(_has_size, path, size), within=60, what=f"{path} did not arrive")

    def await_arrival(self, station: Workstation) -> None:
        """Return once *station* sees all of the footage."""
        for path in self.footage.files:
            self.await_file(self.there(station, path), path.stat().st_size)

    def clear_cache(self, station: Workstation) -> None:
        """Have *station* forget every block."""
        self._run_on(station, "lucidnode", "cache", "clear")

    def forget_all(self, station: Workstation) -> None:
        """Have *station* forget every block, and the kernel every page, of the footage."""
        self.clear_cache(station)
        for path in self.footage.files:
            forget(self.there(station, path))

    def _run_on(self, station: Workstation, *argv: str) -> str:
        prefix, environment = self.lab.inside(station.name)
        return run([*prefix, *argv], env=environment, within=600)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False
