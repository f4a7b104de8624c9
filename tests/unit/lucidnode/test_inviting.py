"""Whose credentials an offer holds that editors may open, to answer for it."""

from __future__ import annotations

import pytest
from studio_fixture import Studio

from lucidnode.inviting import fit_for_editors
from lucidnode.node.client import wire
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.roster_entry import Role

KEYS = {"access_key": "AK", "secret_key": "SK"}


class Daemon:
    """Knows the credentials of the roles *given*; those of *hidden* are others' secret."""

    def __init__(self, *given: Role, hidden: Role | None = None) -> None:
        self._given = given
        self._hidden = hidden

    async def way_in(self, role: Role) -> wire.WayIn:
        if role == self._hidden:
            raise Refused("others' secret")
        return wire.WayIn(KEYS if role in self._given else {}, {})

    async def credentials_of(self, role: Role) -> wire.RoleSet:
        return wire.RoleSet(1, {**KEYS}) if role in self._given else wire.RoleSet(0, {})


@pytest.mark.parametrize(
    ("daemon", "wanted"),
    [
        (Daemon(), (True, {})),  # all have the same
        (Daemon("viewer", "owner"), (True, KEYS)),
        (Daemon("owner"), (False, {})),  # ours are an owner's, and no editor's to see
        (Daemon("owner", "editor", hidden="viewer"), (False, {})),
    ],
)
async def test_no_credentials_of_owners_are_in_what_editors_may_open(
    daemon: Daemon, wanted: tuple[bool, dict[str, str]]
) -> None:
    studio = Studio()
    assert (
        await fit_for_editors(
            daemon.way_in, daemon.credentials_of, studio.view(studio.ada), "viewer"
        )
        == wanted
    )


async def test_what_an_editor_has_others_may_see() -> None:
    studio = Studio()
    bo = studio.join("editor", "Bo")
    studio.let_invite(bo)
    daemon = Daemon("owner")
    assert await fit_for_editors(
        daemon.way_in, daemon.credentials_of, studio.view(bo), "viewer"
    ) == (True, {})
