"""Which media a cut uses, and which part of each: the door to OpenTimelineIO.

What it reads: `.otio`, EDL (CMX 3600), Final Cut's `.fcpxml` (also as `.fcpxmld`) and the XML of
Final Cut 7 that other programs write (`.xml`). Premiere's own project (`.prproj`) is XML in gzip, of
which nothing is documented but what stands there: the paths of its media.

The timeline may come from anybody: it is bounded in size, and what is in it only names files to be
looked for (lucidnode/media_search.py).
"""

from __future__ import annotations

import gzip
import importlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from lucidnode.node.client.errors import Malformed, NotThere, Refused

SUFFIXES = (".otio", ".edl", ".fcpxml", ".fcpxmld", ".xml", ".prproj")

MAX_TIMELINE_BYTES = 1 << 28
"""Bytes of a timeline, unpacked."""

_MAX_USES = 1_000_000
_PATHS_OF_PREMIERE = {"FilePath", "ActualMediaFilePath"}

_ROOM_BYTES = 1 << 20

WHOLE = (0, 1)
"""The share that all of a file is."""


class MediaUse(NamedTuple):
    """A part of one file that a cut uses.

    *parts* are those of its path, as it is written; *share* is from where to where of its length.
    """

    parts: tuple[str, ...]
    share: tuple[float, float] = WHOLE


def media_of(timeline: Path, handles_s: float) -> list[MediaUse]:
    """Return what *timeline* uses, each time with *handles_s* seconds before and behind.

    Raises Malformed for what is no timeline, Refused where OpenTimelineIO is missing, NotThere, OSError.
    """
    suffix = timeline.suffix.lower()
    if suffix not in SUFFIXES:
        raise Malformed(f"{timeline.name} is none of {', '.join(SUFFIXES)}")
    if suffix == ".fcpxmld":
        timeline, suffix = timeline / "Info.fcpxml", ".fcpxml"
    if not timeline.is_file():
        raise NotThere(f"there is no file {timeline}")
    if timeline.stat().st_size > MAX_TIMELINE_BYTES:
        raise Malformed(f"{timeline.name} is larger than {MAX_TIMELINE_BYTES >> 20} MiB")
    found = _of_premiere(timeline) if suffix == ".prproj" else _of_otio(timeline, handles_s)
    uses = list(dict.fromkeys(found))
    if not uses:
        raise Malformed(f"{timeline.name} names no media")
    return uses


def bytes_of(share: tuple[float, float], size: int) -> list[tuple[int, int]]:
    """Return the bytes of a file of *size* that are needed to play *share* of it.

    What lies where is known to the file's format alone. Media lie in it about evenly, so some room is
    left at both ends, and the beginning and the end of the file are always needed: there is its index.
    """
    begin, end = share
    room = max(_ROOM_BYTES, size // 50)
    return [
        (0, _ROOM_BYTES),
        (max(0, int(begin * size) - room), min(size, int(end * size) + room)),
        (max(0, size - _ROOM_BYTES), size),
    ]


def parts_of(written: str) -> tuple[str, ...]:
    """Return the parts of a path as programs write it: a URL, or a path of Windows, macOS or Linux.

    What leads nowhere by itself (a drive, `..`) is left out.
    """
    address = urlsplit(written)
    path = unquote(address.path) if address.scheme == "file" else written
    parts = path.replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in {"", ".", ".."} and not part.endswith(":"))


def _of_premiere(project: Path) -> Iterator[MediaUse]:
    """Yield each file that a Premiere project names, whole: what its sequences use of it is not documented."""
    try:
        with gzip.open(project) as packed:
            text = packed.read(MAX_TIMELINE_BYTES + 1)
        if len(text) > MAX_TIMELINE_BYTES:
            raise Malformed(f"{project.name} is larger than {MAX_TIMELINE_BYTES >> 20} MiB")
        root = ET.fromstring(text)  # noqa: S314  # expat bounds what entities become
    except (OSError, EOFError, ET.ParseError) as error:
        raise Malformed(f"{project.name} is no project of Premiere: {error}") from error
    for element in root.iter():
        if element.tag in _PATHS_OF_PREMIERE and element.text:
            yield MediaUse(parts_of(element.text))


def _of_otio(timeline: Path, handles_s: float) -> Iterator[MediaUse]:
    try:
        otio: Any = importlib.import_module("opentimelineio")
    except ImportError:
        raise Refused(
            "reading timelines needs OpenTimelineIO: pip install 'lucidnode[timelines]'"
        ) from None
    links_none = otio.media_linker.MediaLinkingPolicy.DoNotLinkMedia
    try:
        if timeline.suffix.lower() == ".fcpxml":
            adapter = otio.adapters.from_filepath(str(timeline)).name
            text = _as_of_before(timeline.read_text("utf-8"))
            read = otio.adapters.read_from_string(text, adapter, media_linker_name=links_none)
        else:
            read = otio.adapters.read_from_file(str(timeline), media_linker_name=links_none)
        uses = [use for clip in read.find_clips() for use in _of_clip(otio, clip, handles_s)]
    except Exception as error:  # whatever an adapter raises for what it cannot read
        raise Malformed(f"{timeline.name} cannot be read: {error}") from error
    if len(uses) > _MAX_USES:
        raise Malformed(f"{timeline.name} uses more than {_MAX_USES} files")
    yield from uses


def _as_of_before(fcpxml: str) -> str:
    """Return *fcpxml* with the place of each asset where it was before version 1.9, for OpenTimelineIO."""
    root = ET.fromstring(fcpxml)  # noqa: S314  # expat bounds what entities become
    for asset in root.iter("asset"):
        place = asset.find("media-rep[@src]")
        if place is not None and "src" not in asset.attrib:
            asset.set("src", place.attrib["src"])
    return ET.tostring(root, encoding="unicode")


def _of_clip(otio: Any, clip: Any, handles_s: float) -> Iterator[MediaUse]:
    reference = clip.media_reference
    if isinstance(reference, otio.schema.GeneratorReference):
        return  # bars, black, a title
    share = _share(otio, clip, handles_s)
    if isinstance(reference, otio.schema.ImageSequenceReference):
        count = reference.number_of_images_in_sequence()
        first, behind = int(share[0] * count), min(count, int(share[1] * count) + 1)
        for image in range(first, behind):
            yield MediaUse(parts_of(reference.target_url_for_image_number(image)))
        return
    written = getattr(reference, "target_url", "") or clip.name
    if written and (parts := parts_of(written)):
        yield MediaUse(parts, share)


def _share(otio: Any, clip: Any, handles_s: float) -> tuple[float, float]:
    """Return which part of its media *clip* shows; all of it where the timeline does not say."""
    available = clip.media_reference.available_range if clip.media_reference else None
    if available is None or available.duration.value <= 0:
        return WHOLE
    shown = clip.visible_range()
    total_s = available.duration.to_seconds()
    begin_s = shown.start_time.to_seconds() - available.start_time.to_seconds()
    lasts_s = shown.duration.to_seconds()
    for effect in clip.effects:
        if isinstance(effect, otio.schema.LinearTimeWarp):
            lasts_s *= max(1.0, abs(effect.time_scalar))
    begin = max(0.0, (begin_s - handles_s) / total_s)
    end = min(1.0, (begin_s + lasts_s + handles_s) / total_s)
    # A clip that shows nothing of its media has another idea of its time than the media has.
    return (begin, end) if begin < end else WHOLE
