"""Who is the only owner of a studio."""

from __future__ import annotations

from lucidnode.cli.lone_owner import lone_owner
from lucidnode.fs.membership.member import Label
from lucidnode.fs.membership.roster_view import Person
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.roster_entry import Role


def _person(name: str, role: Role = "owner", *, has_left: bool = False) -> Person:
    return Person(
        Label(name, "vm"), role, DeviceId("00" * 16), False, b"", has_left, {}, may_invite=False
    )


def test_one_person_is_alone_at_however_many_workstations() -> None:
    ada, bo = _person("Ada"), _person("Bo", "editor")
    assert lone_owner([ada, ada, bo]) == "Ada"
    assert lone_owner([ada, bo, _person("Cy", has_left=True)]) == "Ada"
    assert lone_owner([ada, bo, _person("Cy")]) is None
    assert lone_owner([bo]) is None
