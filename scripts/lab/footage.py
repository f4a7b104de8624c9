"""Footage made on the spot: what an editor would copy in on the first day of a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.command import run

_FRAMES = 75
"""Three seconds of ProRes 422 HQ at 25 frames a second: 235 MB, made in about three seconds."""

_STILLS = 24


@dataclass(frozen=True, slots=True)
class Footage:
    """A directory with a clip, an image sequence and the project file that refers to both."""

    root: Path

    @property
    def clip(self) -> Path:
        return self.root / "A001_C001.mov"

    @property
    def stills(self) -> Path:
        return self.root / "VFX_010"

    @property
    def project(self) -> Path:
        return self.root / "cut_v01.edl"

    @property
    def files(self) -> list[Path]:
        """Every file, in the order in which a person would look at them."""
        return [self.project, self.clip, *sorted(self.stills.glob("*.dpx"))]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def shoot(root: Path) -> Footage:
    """Make footage in the new directory *root* with ffmpeg."""
    footage = Footage(root)
    footage.stills.mkdir(parents=True)
    encoder = ["-pix_fmt", "yuv422p10le", "-c:v", "prores", "-profile:v", "3"]
    _film("1920x1080", _FRAMES, footage.clip, *encoder)
    _film("1280x720", _STILLS, footage.stills / "VFX_010.%04d.dpx", "-pix_fmt", "rgb24")
    footage.project.write_text(_edit_list(footage))
    return footage


def _film(size: str, frames: int, target: Path, *encoder: str) -> None:
    # Grain, as a camera has it: without, frames are padded with zeros, and blocks repeat.
    picture = f"testsrc2=size={size}:rate=25,noise=alls=30:allf=t"
    run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-frames:v", str(frames),
         *encoder, str(target)], within=300)  # fmt: skip


def _edit_list(footage: Footage) -> str:
    """Return a CMX 3600 edit decision list: the clip's first second, then the stills."""
    return "\n".join(
        [
            "TITLE: CUT V01",
            "FCM: NON-DROP FRAME",
            "",
            "001  A001C001 V     C        00:00:00:00 00:00:01:00 01:00:00:00 01:00:01:00",
            f"* FROM CLIP NAME: {footage.clip.name}",
            "002  VFX010   V     C        00:00:00:00 00:00:00:24 01:00:01:00 01:00:01:24",
            f"* FROM CLIP NAME: {footage.stills.name}",
            "",
        ]
    )
