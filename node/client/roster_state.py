"""What the entries of the roster do: the state of a studio, to which entry by entry is applied.

Pure, and part of lucidnode.node.client.roster_rules: it uses nothing but the entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.project_rules import check_state, renamed, with_state
from lucidnode.node.client.roster import FIRST_EPOCH, Era, ProjectRecord, Void
from lucidnode.node.client.roster_entry import (
    ERA_BEFORE_BYTES,
    ERA_PROJECT,
    MAX_ERAS,
    AllowInviting,
    ChangeRole,
    ChangeState,
    Genesis,
    Invite,
    Join,
    Leave,
    NewEra,
    Project,
    RenameDevice,
    RenameProject,
    Revoke,
    RosterEntry,
    Settings,
)
from lucidnode.node.client.roster_people import People

MAX_PROJECTS = 1800
"""An invite carries the keys of all of them in one entry."""

MAX_PROJECTS_OF_EDITOR = 500
"""Projects that one editor creates; owners can create any up to MAX_PROJECTS."""


class RosterState:
    """People, projects, eras and settings. Each entry is applied whole, or not at all."""

    def __init__(self) -> None:
        self.studio = b""
        self.people = People()
        self.projects: dict[ProjectId, ProjectRecord] = {}
        self.eras: list[Era] = []
        self.settings = b""
        self._created: Counter[bytes] = Counter()  # projects by author

    def apply(self, entry: RosterEntry) -> None:
        """Do what an authentic *entry* of a known format says. Raises Void, Malformed."""
        body, author, seq = entry.content(), entry.author, Seq(entry.seq)
        people = self.people
        match body:
            case Genesis():
                self._found(author, body)
            case _ if not self.studio:
                raise Void("not a founding")
            case Invite():
                people.invite(author, body, self.projects)
                self._add_seals(body.invite_box, body.projects)
            case Join():
                people.join(self.studio, author, body, seq, self.projects)
                self._add_seals(body.member_box, body.projects)
            case AllowInviting():
                people.allow_inviting(author, body)
            case Project():
                self._project(author, body, seq)
            case Revoke():
                people.check_revoke(author, body)
                self._check_era(body.era)
                people.revoke(body, seq)
                self._begin_era(body.era, seq)
            case ChangeRole():
                people.check_role(author, body, self.projects.keys())
                self._check_era(body.era)
                people.change_role(body, seq)
                self._begin_era(body.era, seq)
            case Leave():
                people.leave(author)
            case RenameDevice():
                people.rename(author, body)
            case RenameProject():
                self._rename_project(author, body, seq)
            case ChangeState():
                self._change_state(author, body, seq)
            case Settings():
                if not people.is_owner(author):
                    raise Void("only an owner makes settings for the studio")
                self.settings = body.sealed

    def _found(self, author: bytes, body: Genesis) -> None:
        if self.studio:
            raise Void("a second first entry")
        self.people.found(author, body)
        self.studio = body.studio

    # -- projects ----------------------------------------------------------------------------

    def _project(self, author: bytes, body: Project, seq: Seq) -> None:
        member = self.people.members.get(author)
        if member is None or member.role == "viewer" or member.has_left:
            raise Void("only an owner or editor creates projects")
        project = ProjectId(body.project)
        if project == ERA_PROJECT:
            raise Void("the id of no project")
        if project in self.projects:
            raise Void("the project exists")
        if len(self.projects) >= MAX_PROJECTS:
            raise Void("too many projects")
        if member.role != "owner" and self._created[author] >= MAX_PROJECTS_OF_EDITOR:
            raise Void("too many projects by this editor")
        self.projects[project] = ProjectRecord(
            project,
            body.block_size,
            author,
            self._known_seals(body.seals),
            seq,
            FIRST_EPOCH + len(self.eras),
        )
        self._created[author] += 1

    def _rename_project(self, author: bytes, body: RenameProject, seq: Seq) -> None:
        record = self._changing(author, body.project)
        epochs = range(record.first_epoch, FIRST_EPOCH + len(self.eras) + 1)
        self.projects[record.id] = renamed(record, body, seq, epochs)

    def _change_state(self, author: bytes, body: ChangeState, seq: Seq) -> None:
        record = self._changing(author, body.project)
        check_state(record, body)
        self._check_era(body.era)
        self.projects[record.id] = with_state(record, body, seq)
        self._begin_era(body.era, seq)

    def _changing(self, author: bytes, project: str) -> ProjectRecord:
        if not self.people.is_owner(author):
            raise Void("only an owner changes projects")
        record = self.projects.get(ProjectId(project))
        if record is None:
            raise Void("no such project")
        return record

    # -- eras, and what is sealed to whom ----------------------------------------------------

    def _check_era(self, era: NewEra) -> None:
        if len(era.before) != (ERA_BEFORE_BYTES if self.eras else 0):
            raise Void("an era that does not follow the one before")
        if len(self.eras) >= MAX_ERAS:
            raise Void("too many eras")

    def _begin_era(self, era: NewEra, seq: Seq) -> None:
        self.people.put_out_who_left(seq)
        self.eras.append(Era(seq, era.before, self._known_seals(era.seals)))

    def _known_seals(self, seals: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        boxes = self.people.boxes()
        return MappingProxyType({box: sealed for box, sealed in seals.items() if box in boxes})

    def _add_seals(self, box: bytes, projects: Mapping[str, bytes]) -> None:
        if self.eras and (sealed_era := projects.get(ERA_PROJECT)) is not None:
            newest = self.eras[-1]
            self.eras[-1] = replace(
                newest, seals=MappingProxyType({**newest.seals, box: sealed_era})
            )
        for name, sealed in projects.items():
            record = self.projects.get(ProjectId(name))
            if record is not None:
                seals = MappingProxyType({**record.seals, box: sealed})
                self.projects[record.id] = replace(record, seals=seals)
