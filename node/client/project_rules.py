"""The rules of the roster on what an owner makes of a project: its name, and what it is. Pure."""

from __future__ import annotations

from dataclasses import replace

from lucidnode.node.client.ids import Seq
from lucidnode.node.client.roster import ProjectRecord, SealedName, StateChange, Void
from lucidnode.node.client.roster_entry import ChangeState, RenameProject

MAX_CHANGES_OF_PROJECT = 1000
"""Names that one project can have had, and as many states."""


def renamed(record: ProjectRecord, body: RenameProject, seq: Seq, epochs: range) -> ProjectRecord:
    """Return *record* after entry *seq*; *epochs* are those that it has by then. Raises Void."""
    if len(record.names) >= MAX_CHANGES_OF_PROJECT:
        raise Void("too many names of this project")
    if body.epoch not in epochs:
        raise Void("a name of an epoch that the project does not have")
    return replace(record, names=(*record.names, SealedName(seq, body.epoch, body.name)))


def check_state(record: ProjectRecord, body: ChangeState) -> None:
    """Raise Void unless *record* may become what *body* says."""
    if body.state == record.state:
        raise Void("the project is that already")
    if record.state == "deleted" and body.changed_ns > record.states[-1].until_ns:
        raise Void("the time to undo it had passed")
    if len(record.states) >= MAX_CHANGES_OF_PROJECT:
        raise Void("too many changes of this project")


def with_state(record: ProjectRecord, body: ChangeState, seq: Seq) -> ProjectRecord:
    """Return *record* after entry *seq*, which `check_state` has let pass."""
    change = StateChange(seq, body.state, body.changed_ns, body.until_ns)
    return replace(record, states=(*record.states, change))
