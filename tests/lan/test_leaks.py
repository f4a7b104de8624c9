"""Nothing readable leaves the mount: not to the bucket, not to any disk, not to the LAN.

Texts and names that occur nowhere else are written through a mount and read on other nodes. Then
everything that they could have got into is searched, byte by byte.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab.lab import Lab
from lab.namespaces import BRIDGE
from lab.network import SWITCH
from lab_fixture import (
    await_cloud,
    await_names,
    await_size,
    bucket_objects,
    clear_cache,
    digest,
    digests_there,
    noise,
    run_on,
    running_lab,
)
from packet_capture import Capture, capturing, read_capture

pytestmark = [pytest.mark.lan, pytest.mark.fuse, pytest.mark.timeout(300)]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Story:
    """What was written, and what could be seen of it from outside."""

    secrets: dict[str, bytes]
    lab: Lab
    capture: Capture
    objects: dict[str, bytes]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with running_lab("leak") as lab:
        pcap = tmp_path_factory.mktemp("capture") / "lan.pcap"
        with capturing(lab.network.entering(SWITCH), BRIDGE, pcap):
            words = tell(lab)
        yield Story(words, lab, read_capture(pcap), bucket_objects(lab))


def tell(lab: Lab) -> dict[str, bytes]:
    """Write secrets on a and b, read them on the others; return each by what it is."""
    a, b, c = lab.workstations.values()

    def word(what: str) -> str:
        return f"{what}-{secrets.token_hex(12)}"

    folder, script, dailies, renamed = word("folder"), word("script"), word("dailies"), word("cut")
    link, target, label, value = word("link"), word("target"), word("label"), word("value")
    phrase, note, project = word("phrase"), word("note"), word("project")
    run_on(
        lab, a, "lucidnode", "project", "create", project,
        "--passphrase-file", str(lab.places.node("a") / "passphrase"),
    )  # fmt: skip

    top = a.mount_point / folder
    top.mkdir()
    (top / script).write_text(f"INT. OFFICE. NIGHT\n{phrase}\n")
    # Big enough for blocks of their own, compressible and not.
    clip = f"{phrase}\n".encode() * 40_000 + noise(4 * MIB) + phrase.encode()
    (top / dailies).write_bytes(clip)
    (top / link).symlink_to(target)
    os.setxattr(top / script, f"user.{label}", value.encode())
    await_names(b.mount_point / folder, {script, dailies, link})
    there = b.mount_point / folder / script
    there.rename(there.with_name(renamed))
    with (b.mount_point / folder / renamed).open("a") as file:
        file.write(note)
    await_names(c.mount_point / folder, {renamed})
    await_size(c.mount_point / folder / dailies, len(clip))
    await_cloud(top / dailies, b.mount_point / folder / renamed)
    clear_cache(lab, a, b, c)
    wanted = {f"{folder}/{dailies}": digest(clip)}
    for station in (b, c):
        assert digests_there(lab, station, wanted) == wanted
        assert note in (station.mount_point / folder / renamed).read_text()
    return {
        "a folder's name": folder.encode(),
        "a file's name": script.encode(),
        "a big file's name": dailies.encode(),
        "a new name": renamed.encode(),
        "a link's name": link.encode(),
        "a link's target": target.encode(),
        "an attribute's name": label.encode(),
        "an attribute's value": value.encode(),
        "a text": phrase.encode(),
        "an appended text": note.encode(),
        "a project's name": project.encode(),
    }


def spellings(secret: bytes) -> Iterator[bytes]:
    """Yield *secret* as it could lie somewhere: as it is, and in encodings programs like."""
    yield secret
    yield secret.decode().encode("utf-16-le")
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for ahead in range(3):
        # Three bytes become four letters; only groups that lie whole inside of it are certain.
        start = -ahead % 3
        whole = secret[start : start + (len(secret) - start) // 3 * 3]
        yield base64.b64encode(whole)
        yield base64.urlsafe_b64encode(whole)


def told(places: dict[str, bytes], words: dict[str, bytes]) -> list[str]:
    """Return which of *words* can be read where."""
    needles = {(what, spelt) for what, word in words.items() for spelt in spellings(word)}
    return [
        f"{what} in {place}"
        for place, content in places.items()
        for what, spelt in needles
        if spelt in content
    ]


def files_below(root: Path, without: set[Path]) -> dict[str, bytes]:
    """Return every regular file below *root*, and every name, but for the folders *without*."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if Path(folder, each) not in without]
        found[f"the names in {folder}"] = os.fsencode("\n".join([*folders, *files]))
        for path in (Path(folder, each) for each in files):
            # Daemons are at work: what was there a moment ago may have been replaced.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    found[str(path)] = path.read_bytes()
    return found


# -- the laws --------------------------------------------------------------------------------


def test_bucket_tells_nothing(story: Story) -> None:
    kinds = {key.removeprefix("lab/").split("/")[0] for key in story.objects}
    assert {"p", "roster"} <= kinds
    assert any("/block/" in key for key in story.objects)
    assert any("/journal/" in key for key in story.objects)
    assert told(story.objects, story.secrets) == []
    assert told({"the keys": "\n".join(story.objects).encode()}, story.secrets) == []


def test_disks_tell_nothing(story: Story) -> None:
    """Homes with caches, staging, replicas and logs; tickets; the files of the S3 server."""
    stations = list(story.lab.workstations.values())
    places = files_below(story.lab.places.root, {station.mount_point for station in stations})
    for station in stations:
        assert any(place.endswith("replica.db") and str(station.home) in place for place in places)
    for reader in stations[1:]:  # the first has only what it owns: of so few blocks, perhaps none
        assert any(place.startswith(f"{reader.home}/cache/blocks/") for place in places)
    assert told(places, story.secrets) == []


def test_network_tells_nothing(story: Story) -> None:
    assert told({"the capture": story.capture.raw}, story.secrets) == []
    streams = {str(stream): data for stream, data in story.capture.streams.items()}
    assert told(streams, story.secrets) == []


# -- and that the search was one -------------------------------------------------------------


def test_capture_holds_blocks_and_pushes_between_workstations(story: Story) -> None:
    stations = story.lab.workstations.values()
    office = {station.record.address for station in stations}
    inner = {s: data for s, data in story.capture.streams.items() if {s.source, s.target} <= office}
    blocks = [body for key, body in story.objects.items() if "/block/" in key]
    moved = [body for body in blocks if any(body[-64:] in data for data in inner.values())]
    assert len(moved) >= len(blocks) / 2

    ports = {int(s.facts("status")["addresses"]["control_port"]) for s in stations}
    said = [data for s, data in inner.items() if {s.source_port, s.target_port} & ports]
    # TLS 1.2 and 1.3 alike: type 23, application data, legacy version 3.3 (RFC 8446, 5.1).
    assert any(b"\x17\x03\x03" in data for data in said)


def test_capture_holds_what_went_to_the_bucket(story: Story) -> None:
    store = story.lab.record.s3
    assert store is not None
    address = store.endpoint.split("/")[2].split(":")[0]
    sent = b"".join(data for s, data in story.capture.streams.items() if s.target == address)
    assert b"PUT /" in sent


@pytest.mark.parametrize("spelling", range(10))
def test_search_finds_what_is_readable(story: Story, tmp_path: Path, spelling: int) -> None:
    secret = story.secrets["a text"]
    text = b"." * spelling + secret + b"."
    shown = [
        text,
        text.decode().encode("utf-16-le"),
        text.hex().encode(),
        text.hex().upper().encode(),
    ]
    shown += [base64.b64encode(b"." * ahead + text) for ahead in range(6)]
    (tmp_path / "log").write_bytes(b"Error: " + shown[spelling])
    assert told(files_below(tmp_path, set()), story.secrets) == [f"a text in {tmp_path / 'log'}"]


def test_search_finds_a_readable_name(story: Story, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(story.secrets["a file's name"])).touch()
    assert told(files_below(tmp_path, set()), story.secrets) != []
