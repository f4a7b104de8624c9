"""ffmpeg with `-movflags +faststart`, which writes a file and then moves all of it further down."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError
from lab.two_nodes import TwoNodes

PACKAGES = ("ffmpeg",)

_FOLDER = "video"
_SHOWN = ("-v", "error", "-show_format", "-show_streams", "-show_packets", "-of", "json")


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    seconds = max(2, round(20 * extent))
    top = nodes.here / _FOLDER
    top.mkdir()
    reference, clip = nodes.local / "reference.mp4", top / "clip.mp4"
    for target in (reference, clip):
        _encode(nodes, target, seconds)
    if _frames(nodes, clip) != _frames(nodes, reference):
        raise LabError("what was encoded on the mount is not what was encoded on the disk")
    # Read and written on the mount at once; a copy without encoding, moved to the front again.
    remuxed = top / "remuxed.mov"
    nodes.run("ffmpeg", "-v", "error", "-i", clip, "-c", "copy", "-movflags", "+faststart", remuxed)
    head = clip.read_bytes()[:4096]
    if b"moov" not in head:
        raise LabError("the index is not at the front of the clip")
    # Fragments are appended while the file grows.
    nodes.run("ffmpeg", "-v", "error", "-i", clip, "-c", "copy",
              "-movflags", "frag_keyframe+empty_moov", top / "fragments.mp4")  # fmt: skip
    shown = {path.name: _probe(nodes, path) for path in sorted(top.iterdir())}
    frames = {path.name: _frames(nodes, path) for path in sorted(top.iterdir())}
    nodes.check(_FOLDER)
    elsewhere = sorted((nodes.there / _FOLDER).iterdir())
    if {path.name: _frames(nodes, path) for path in elsewhere} != frames:
        raise LabError("the other node decodes other frames")
    probed = {
        path.name: _probe(nodes, path).replace(str(nodes.there), str(nodes.here))
        for path in elsewhere
    }
    if probed != shown:
        raise LabError("ffprobe on the other node says something else")
    size = sum(path.stat().st_size for path in elsewhere)
    return f"{seconds} s encoded, remuxed and fragmented, {size / 1e6:.0f} MB, every frame compared"


def _encode(nodes: TwoNodes, target: Path, seconds: int) -> None:
    picture = f"testsrc2=size=1280x720:rate=25:duration={seconds},noise=alls=20:all_seed=7"
    nodes.run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture,
              "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}",
              "-c:v", "mpeg4", "-q:v", "3", "-c:a", "aac", "-threads", "1", "-bitexact",
              "-movflags", "+faststart", target)  # fmt: skip


def _frames(nodes: TwoNodes, clip: Path) -> str:
    """Return a digest of every frame, decoded."""
    return nodes.run("ffmpeg", "-v", "error", "-xerror", "-i", clip, "-f", "streamhash", "-")


def _probe(nodes: TwoNodes, clip: Path) -> str:
    return nodes.run("ffprobe", *_SHOWN, clip)
