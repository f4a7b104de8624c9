"""The studio of the entries soak: the same bytes in every run, so that a seed gives the same run.

Some faults of a store depend on the bytes they befall, and a studio is made of random ones. This
one was made once, and lies beside this file. `python -m lab.soak_studio` makes another.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from lucidnode.fs.membership.entries import genesis_entry
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.roster_entry import entry_hash

NAMES = ("a", "b", "c", "d", "e")

_FILE = Path(__file__).with_name("soak_studio.msgpack")


class SoakStudio(msgspec.Struct, frozen=True):
    """A studio with one project. *members* are by name; *entries* is its log of members."""

    entries: list[bytes]
    project: str
    members: dict[str, Membership]

    @property
    def project_id(self) -> ProjectId:
        """The project that all work in."""
        return ProjectId(self.project)


def device_seed(name: str) -> bytes:
    """Return the Ed25519 seed of the workstation of member *name*."""
    return name.encode().ljust(32, b".")


@cache
def soak_studio() -> SoakStudio:
    """Return the studio: a founded it, the others are editors."""
    return msgspec.msgpack.decode(_FILE.read_bytes(), type=SoakStudio)


def _made() -> SoakStudio:
    from studio_fixture import Studio, claim  # noqa: PLC0415  # only who makes it anew needs it

    studio = Studio()
    keys, label = MemberKeys.new(), Label("a", "a")
    founder = claim(studio.studio, keys, device_seed("a"))
    first = genesis_entry(studio.studio, studio.name_key, keys, founder, label)
    studio.entries = [first]
    studio.ada = Membership(studio.studio, entry_hash(first), studio.name_key, keys, label)
    project = studio.project("demo")
    members = {"a": studio.ada}
    for name in NAMES[1:]:
        invite, members[name] = studio.invite(), studio.newcomer(name, name)
        studio.entries.append(studio.joining(invite, members[name], device_seed(name)))
    return SoakStudio(studio.entries, project, members)


if __name__ == "__main__":
    _FILE.write_bytes(msgspec.msgpack.encode(_made()))
