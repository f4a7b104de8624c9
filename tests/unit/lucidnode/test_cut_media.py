"""Which parts of which media a cut uses, in the formats that editing programs write."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.cut_media import WHOLE, MediaUse, bytes_of, media_of, parts_of
from lucidnode.media_search import MediaSearch
from lucidnode.node.client.errors import Malformed, NotThere

RATE = 24
MOV = "file:///Volumes/film/rushes/day%201/A001.mov"
PARTS = ("Volumes", "film", "rushes", "day 1", "A001.mov")


def span(begin: float, lasts: float) -> otio.opentime.TimeRange:
    at = otio.opentime.RationalTime
    return otio.opentime.TimeRange(at(begin * RATE, RATE), at(lasts * RATE, RATE))


def clip(begin: float, lasts: float, url: str = MOV) -> otio.schema.Clip:
    """Return a clip of 100 s of media whose time code begins at an hour."""
    media = otio.schema.ExternalReference(url, span(3600, 100))
    return otio.schema.Clip("A001", media, span(3600 + begin, lasts))


def written(path: Path, *clips: otio.schema.Clip) -> Path:
    track = otio.schema.Track("V1")
    track.extend(clips)
    cut = otio.schema.Timeline("reel")
    cut.tracks.append(track)
    otio.adapters.write_to_file(cut, str(path))
    return path


@pytest.mark.parametrize("suffix", ["otio", "fcpxml", "xml"])
def test_a_cut_needs_of_its_media_what_it_shows_and_handles(suffix: str, tmp_path: Path) -> None:
    cut = written(tmp_path / f"cut.{suffix}", clip(50, 2))
    [use] = media_of(cut, handles_s=3)
    assert use.parts == PARTS
    assert use.share == pytest.approx((0.47, 0.55))


def test_final_cut_of_today_says_elsewhere_where_its_media_are(tmp_path: Path) -> None:
    cut = written(tmp_path / "cut.fcpxml", clip(50, 2))
    text = cut.read_text().replace(f'src="{MOV}" ', "")
    assert MOV not in text
    text = re.sub(
        r"(<asset [^>]*)/>", rf'\1><media-rep kind="original-media" src="{MOV}"/></asset>', text
    )
    bundle = tmp_path / "cut.fcpxmld"
    bundle.mkdir()
    (bundle / "Info.fcpxml").write_text(text)
    [use] = media_of(bundle, handles_s=3)
    assert use.parts == PARTS
    assert use.share == pytest.approx((0.47, 0.55))


def test_an_edl_says_which_media_and_not_where_in_them_a_clip_lies(tmp_path: Path) -> None:
    [use] = media_of(written(tmp_path / "cut.edl", clip(50, 2)), handles_s=3)
    assert use == MediaUse(PARTS, WHOLE)
    by_name = tmp_path / "plain.EDL"
    by_name.write_text(
        "TITLE: x\n\n001  AX       V     C        01:00:50:00 01:00:52:00 00:00:00:00 00:00:02:00\n"
        "* FROM CLIP NAME:  A001.mov\n"
    )
    assert media_of(by_name, handles_s=3) == [MediaUse(("A001.mov",), WHOLE)]


def test_what_is_shown_faster_needs_more_and_a_title_needs_nothing(tmp_path: Path) -> None:
    fast = clip(50, 2)
    fast.effects.append(otio.schema.LinearTimeWarp(time_scalar=4.0))
    title = otio.schema.Clip("Title", otio.schema.GeneratorReference("bars"), span(0, 5))
    [use] = media_of(written(tmp_path / "cut.otio", fast, title), handles_s=0)
    assert use.share == pytest.approx((0.5, 0.58))


def test_of_a_sequence_of_images_those_that_are_seen(tmp_path: Path) -> None:
    media = otio.schema.ImageSequenceReference(
        "file:///render/shot/",
        "shot.",
        ".exr",
        1001,
        1,
        RATE,
        4,
        available_range=span(0, 100 / RATE),
    )
    shot = otio.schema.Clip("shot", media, span(10 / RATE, 5 / RATE))
    uses = media_of(written(tmp_path / "cut.otio", shot), handles_s=2 / RATE)
    assert [use.parts[-1] for use in uses] == [f"shot.{n}.exr" for n in range(1009, 1019)]


def test_of_a_project_of_premiere_all_media_whole(tmp_path: Path) -> None:
    project = tmp_path / "film.prproj"
    text = (
        "<PremiereData><Media><FilePath>C:\\film\\rushes\\A001.mov</FilePath>"
        "<ActualMediaFilePath>/Volumes/film/A002.mov</ActualMediaFilePath>"
        "<FilePath>C:\\film\\rushes\\A001.mov</FilePath></Media></PremiereData>"
    )
    project.write_bytes(gzip.compress(text.encode()))
    assert media_of(project, 2) == [
        MediaUse(("film", "rushes", "A001.mov")),
        MediaUse(("Volumes", "film", "A002.mov")),
    ]


def packed(text: bytes) -> bytes:
    """Return *text* in gzip, the same at any time."""
    return gzip.compress(text, mtime=0)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{("&" + a + ";") * 10}">'
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><x>&i;</x>"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.otio", b"{"),
        ("cut.otio", b'{"OTIO_SCHEMA": "Timeline.1", "tracks": 5}'),
        ("cut.edl", b"\xff\xfe not an edl"),
        ("cut.fcpxml", b"<fcpxml"),
        ("cut.xml", b"<other/>"),
        ("cut.prproj", b"no gzip"),
        ("cut.prproj", packed(b"<a>")),
        ("cut.prproj", packed(BOMB.encode())),
        ("cut.prproj", packed(b"<nothing/>")),
        ("cut.mov", b"a film"),
    ],
)
def test_what_is_no_timeline_is_said_to_be_none(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Malformed):
        media_of(tmp_path / name, 2)
    with pytest.raises(NotThere):
        media_of(tmp_path / "away.otio", 2)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (MOV, PARTS),
        ("file://localhost/C%3a/film/A.mov", ("film", "A.mov")),
        ("C:\\film\\A.mov", ("film", "A.mov")),
        ("\\\\nas\\film\\A.mov", ("nas", "film", "A.mov")),
        ("../../etc/passwd", ("etc", "passwd")),
        ("A 50%.mov", ("A 50%.mov",)),
        ("", ()),
    ],
)
def test_paths_of_other_machines(text: str, parts: tuple[str, ...]) -> None:
    assert parts_of(text) == parts


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1 << 45))
def test_bytes_lie_in_the_file_and_hold_its_ends(one: float, other: float, size: int) -> None:
    begin, end = sorted((one, other))
    ranges = bytes_of((begin, end), size)
    assert all(0 <= low <= size for low, _ in ranges)
    middle = ranges[1]
    assert middle[0] <= begin * size
    assert end * size <= middle[1] or middle[1] == size
    assert ranges[0][0] == 0
    assert ranges[-1][1] == size


def test_media_are_found_by_the_longest_end_of_their_path(tmp_path: Path) -> None:
    for name in ("rushes/day 1/A001.mov", "rushes/day 2/A001.mov", "A001.mov", "sound/B.WAV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    search = MediaSearch([tmp_path])
    assert search.find(PARTS) == [tmp_path / "rushes/day 1/A001.mov"]
    assert search.find(("nas", "b.wav")) == [tmp_path / "sound/B.WAV"]
    assert search.find(("B",)) == [tmp_path / "sound/B.WAV"]
    assert search.find(("C.mov",)) == []
    # The name alone leads to a file at once; what else ends like the path is not looked for.
    assert search.find(("elsewhere", "A001.mov")) == [tmp_path / "A001.mov"]
    (tmp_path / "A001.mov").unlink()
    search = MediaSearch([tmp_path])
    assert search.find(("DAY 2", "a001.mov")) == [tmp_path / "rushes/day 2/A001.mov"]
    assert len(search.find(("elsewhere", "A001.mov"))) == 2
