"""A real daemon, and a log of members in which somebody writes what he likes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cli_fixture import CHEAP, PASSPHRASE, Workstation, until, workstation
from studio_fixture import NOW, Studio

from lucidnode.fs.format import sodium
from lucidnode.fs.membership.entries import genesis_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership, seal_membership
from lucidnode.node.bucket.fingerprint import START, oversize_fingerprint
from lucidnode.node.bucket.keys import roster_key
from lucidnode.node.client.daemon_socket.client import DaemonClient
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE
from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster import Roster
from lucidnode.node.client.roster_entry import (
    MAX_FORMAT,
    DeviceClaim,
    Join,
    RosterEntry,
    device_proof_message,
    entry_hash,
    signing_message,
    stand_in,
)
from lucidnode.node.client.roster_rules import verified
from lucidnode.node.config import MEMBER_FILE, NodeConfig, save_config
from lucidnode.node.identity import DeviceIdentity

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


LATER = b"what it means is not known here"


class Place:
    """A workstation with a real daemon, of a studio whose bucket is a folder."""

    def __init__(self, station: Workstation) -> None:
        self.station = station
        self.bucket = station.folder / "bucket"
        self.home = station.home
        (self.bucket / "roster").mkdir(parents=True)
        (self.bucket / ".lucidnode").mkdir()
        self.home.mkdir(mode=0o700)
        identity = DeviceIdentity.create(self.home / "device.pem")
        self.studio = Studio()
        ada = self.studio.ada.keys
        message = device_proof_message(
            self.studio.studio, ada.public, ada.box, identity.public, identity.certificate
        )
        mine = DeviceClaim(identity.public, identity.certificate, identity.sign(message))
        first = genesis_entry(
            self.studio.studio, self.studio.name_key, ada, mine, Label("Ada", "edit-1")
        )
        self.studio.entries = [first]
        self.huge: dict[int, bytes] = {}
        self.studio.ada = msgspec.structs.replace(self.studio.ada, genesis=entry_hash(first))
        save_config(
            self.home,
            NodeConfig(
                studio=self.studio.studio.hex(),
                genesis=entry_hash(first).hex(),
                lan_key=bytes(32).hex(),
                bucket_url=f"file://{self.bucket}",
                min_free=0,
                mdns=False,
            ),
        )
        self.publish()

    def publish(self) -> None:
        """Put the studio's log into the bucket."""
        for seq, raw in enumerate(self.studio.entries, start=1):
            (self.bucket / roster_key(Seq(seq))).write_bytes(self.huge.get(seq, raw))

    def oversize(self, seq: int) -> None:
        """Have an object in slot *seq* that nobody reads whole."""
        self.huge[seq] = bytes(18 * 1024 * 1024)
        found = oversize_fingerprint(len(self.huge[seq]), bytes(START))
        self.studio.entries.append(stand_in(found.hash))

    def start(self) -> None:
        self.station.ok("daemon", "--no-mdns")

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        self.station.kill()
        until(lambda: not self.station.processes())

    def roster(self) -> Roster:
        """Return what the daemon knows, as a member reads it."""

        async def ask() -> list[bytes]:
            async with DaemonClient(self.home / SOCKET_FILE) as client:
                return await client.roster.entries()

        return verified(asyncio.run(ask()), self.studio.ada.genesis)

    def knows(self, members: int) -> Roster:
        """Return the daemon's roster once it lists so many members."""
        until(lambda: len(self.roster().members) == members)
        return self.roster()

    def knows_of_a_later_version(self) -> Seq:
        """Return the number of the later version's entry once the daemon has read it."""
        until(lambda: self.roster().newer is not None)
        newer = self.roster().newer
        assert newer is not None
        return newer

    def signed(self, author: MemberKeys, body: bytes, number: int = 1) -> bytes:
        head = self.studio.roster()
        seq = Seq(head.head + 1)
        message = signing_message(seq, head.head_hash, author.public, body, number)
        return RosterEntry(
            number, seq, head.head_hash, author.public, body, author.sign(message)
        ).encode()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with workstation(tmp_path / "a") as station:
        yield Place(station)


def joining(studio: Studio, who: Membership, certificate: bytes) -> bytes:
    """Return the body of a join, whose device confirms whatever certificate is in it."""
    keys, seed = who.keys, b"d" * 32
    public = sodium.signing_public(seed)
    message = device_proof_message(studio.studio, keys.public, keys.box, public, certificate)
    device = DeviceClaim(public, certificate, sodium.sign(seed, message))
    return msgspec.msgpack.encode(Join(keys.public, keys.box, device, b"", NOW, {}))


def test_nothing_in_the_log_of_members_ends_a_daemon_or_keeps_one_from_starting(
    place: Place,
) -> None:
    studio = place.studio
    invites = [studio.invite("viewer"), studio.invite("viewer")]
    place.publish()
    place.start()
    place.knows(1)
    garbage = joining(studio, studio.newcomer(), b"no certificate")
    studio.entries.append(place.signed(invites[0], garbage))
    studio.entries.append(place.signed(invites[0], LATER, 2))
    place.oversize(len(studio.entries) + 1)
    honest = studio.newcomer()
    studio.entries.append(studio.joining(invites[1], honest))
    place.publish()
    before = place.knows(2)
    assert honest.keys.public in before.members
    assert [void.seq for void in before.voids] == [4, 5, 6]
    assert place.station.facts("status")["device"]

    for trouble in ("another studio", "a damaged copy, a later version"):
        place.kill()
        if trouble == "another studio":
            place.bucket.rename(place.bucket.with_name("away"))
            (place.bucket / "roster").mkdir(parents=True)
            (place.bucket / ".lucidnode").mkdir()
            for seq in range(1, 12):
                (place.bucket / roster_key(Seq(seq))).write_bytes(Studio().entries[0])
        else:
            (place.home / "roster.bin").write_bytes(bytes(100))
            shutil.rmtree(place.bucket / "roster")
            (place.bucket / "roster").mkdir()
            studio.entries.append(place.signed(studio.ada.keys, LATER, MAX_FORMAT + 1))
            place.publish()
        place.start()
        after = place.knows(2)
        assert (after.members, after.devices) == (before.members, before.devices), trouble
    assert place.knows_of_a_later_version() == 8


def test_a_workstation_that_alone_read_another_log_is_told_and_has_a_way_out(place: Place) -> None:
    studio = place.studio
    (place.home / MEMBER_FILE).write_bytes(seal_membership(studio.ada, PASSPHRASE, CHEAP))
    (place.home / MEMBER_FILE).chmod(0o600)
    studio.join(name="Bo")
    place.publish()
    place.start()
    known = place.knows(2)
    studio.entries = studio.entries[:1]
    studio.project("trailer")
    (place.bucket / roster_key(Seq(3))).unlink()
    place.publish()
    looked = place.station.unlocked("members", "repair").out
    assert "from number 2 on the bucket holds another log of members" in looked
    assert "only in the bucket: project trailer" in looked
    assert "Bo, edit-2: editor" in looked
    assert place.roster().members == known.members
    begun = json.loads(
        place.station.unlocked("members", "repair", "--start-again", "--yes", "--json").out
    )
    assert (begun["differs_from"], begun["started_again"]) == (2, True)
    assert len(place.roster().members) == 1
    assert list(place.roster().projects) == list(studio.roster().projects)
