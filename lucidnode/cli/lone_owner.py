"""A studio that rests on one person is told so."""

from __future__ import annotations

from collections.abc import Iterable

import click

from lucidnode.fs.membership.roster_view import Person, RosterView


def lone_owner(people: Iterable[Person]) -> str | None:
    """Return what people call the only owner there is, at whatever workstations; None if there are more."""
    owners = {one.label.member for one in people if one.role == "owner" and not one.has_left}
    return owners.pop() if len(owners) == 1 else None


def tell_lone_owner(view: RosterView) -> None:
    """Recommend a second owner where there is only one, to those who see the members of *view*."""
    if (name := lone_owner(view.people())) is not None:
        click.echo(
            f"note: {name} is the only owner. Make somebody else one as well, so that the studio does not "
            "rest on one person: `lucidnode invite --role owner`, or `lucidnode members role WHO owner`",
            err=True,
        )
