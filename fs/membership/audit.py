"""What the log of members tells, entry by entry, in words that one member can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from lucidnode.fs.errors import FormatError
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.membership.member import (
    Label,
    open_label,
    open_project_name,
    open_secret,
    shown,
)
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_view import project_keys
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_entry import (
    AllowInviting,
    ChangeRole,
    ChangeState,
    Genesis,
    Invite,
    Join,
    Leave,
    Project,
    ProjectState,
    RenameDevice,
    RenameProject,
    Revoke,
    RosterEntry,
    Settings,
    device_id,
)
from lucidnode.node.client.roster_rules import RosterReader, verified

_UNREADABLE = "(unreadable)"

_MADE: dict[ProjectState, str] = {
    "active": "project restored",
    "archived": "project archived",
    "deleted": "project deleted",
}


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the log. Times are what the author's clock said, in ns since 1970."""

    seq: int
    event: str
    """`founded`, `invited`, `joined`, `put out`, `invite closed`, `role changed`, `inviting allowed`,
    `inviting forbidden`, `left`, `renamed`, `project created`,
    `project renamed` (then `name`), `project archived`, `project deleted`, `project restored`,
    `settings changed`, or `void`: it counted for nothing."""
    by: str = ""
    """The member, or `invite` for one that was used."""
    inviter: str = ""
    """Who had opened the invite with which somebody joined."""
    member: str = ""
    device: str = ""
    role: str = ""
    before: str = ""
    """What the workstation was called before."""
    project: str = ""
    """The project's name, or its id if you cannot open it."""
    at_ns: int | None = None
    until_ns: int | None = None
    reason: str = ""
    name: str = ""
    """What a project that was renamed is called since."""
    projects: list[str] = []
    """Whose keys somebody got who joined, or is to get who was invited."""
    opens_to: list[str] = []
    """The members who got the key of a project that was created."""


def audit(log: Sequence[bytes], membership: Membership) -> Iterator[AuditRecord]:
    """Tell what each entry of *log* did, in order; reading ends where a later format begins.

    Raises ForeignRoster.
    """
    keys = project_keys(verified(log, membership.genesis), membership.keys)
    reader = RosterReader(membership.genesis)
    names: dict[bytes, Label] = {}
    roles: dict[bytes, str] = {}
    projects: dict[str, str] = {}
    boxes: dict[bytes, str] = {}
    inviters: dict[bytes, str] = {}
    for seq, item in enumerate(log, 1):
        void = reader.read(item)
        if reader.newer is not None:
            return
        if void is not None:
            yield AuditRecord(seq, "void", reason=void.reason)
            continue
        entry = RosterEntry.parse(item)
        body = entry.content()
        by = names[entry.author].member if entry.author in names else "invite"
        match body:
            case Genesis() | Join():
                owner = entry.author if isinstance(body, Genesis) else body.member
                label = names[owner] = _label(membership, owner, body.label)
                boxes[body.member_box] = label.member
                is_first = isinstance(body, Genesis)
                yield AuditRecord(
                    seq,
                    "founded" if is_first else "joined",
                    by=label.member if is_first else by,
                    inviter="" if is_first else inviters.get(entry.author, ""),
                    member=label.member,
                    device=label.device,
                    role="owner" if is_first else roles.get(entry.author, ""),
                    at_ns=None if isinstance(body, Genesis) else body.joined_ns,
                    projects=[] if isinstance(body, Genesis) else _opened(projects, body.projects),
                )
            case Invite():
                roles[body.invite], inviters[body.invite] = body.role, by
                suggested = _label(membership, body.invite, body.label).member
                yield AuditRecord(
                    seq,
                    "invited",
                    by,
                    member=suggested,
                    role=body.role,
                    until_ns=body.expires_ns,
                    projects=_opened(projects, body.projects),
                )
            case Revoke():
                for key in body.keys:
                    yield (
                        AuditRecord(
                            seq, "put out", by, member=names[key].member, device=names[key].device
                        )
                        if (key in names)
                        else AuditRecord(seq, "invite closed", by)
                    )
            case ChangeRole():
                label = names[body.member]
                yield AuditRecord(
                    seq,
                    "role changed",
                    by,
                    member=label.member,
                    device=label.device,
                    role=body.role,
                    project=projects.get(body.project, body.project),
                )
            case AllowInviting():
                label = names[body.member]
                event = "inviting allowed" if body.may else "inviting forbidden"
                yield AuditRecord(seq, event, by, member=label.member, device=label.device)
            case RenameDevice():
                label = _label(membership, body.member, body.label)
                yield AuditRecord(
                    seq,
                    "renamed",
                    by,
                    member=label.member,
                    device=label.device,
                    before=names[body.member].device,
                )
                names[body.member] = label
            case Leave():
                yield AuditRecord(seq, "left", by, member=by, device=names[entry.author].device)
            case Project():
                projects[body.project] = _project(membership, body)
                people = [name for box, name in boxes.items() if box in body.seals]
                yield AuditRecord(
                    seq,
                    "project created",
                    by,
                    project=projects[body.project],
                    opens_to=people,
                )
            case RenameProject():
                was = projects[body.project]
                name = projects[body.project] = _renamed(keys, body)
                yield AuditRecord(seq, "project renamed", by, project=was, name=name)
            case ChangeState():
                yield AuditRecord(
                    seq,
                    _MADE[body.state],
                    by,
                    project=projects[body.project],
                    at_ns=body.changed_ns,
                    until_ns=body.until_ns or None,
                )
            case Settings():
                yield AuditRecord(seq, "settings changed", by)


def concerning(log: Sequence[bytes], membership: Membership, project: ProjectId) -> set[int]:
    """Return which entries of *log* say who could open *project*, and as what, or what became of it.

    They are those by which somebody got its key, and what happened to him since; reading ends where a
    later format begins. Raises ForeignRoster.
    """
    reader = RosterReader(membership.genesis)
    boxes: dict[bytes, bytes] = {}
    able: set[bytes] = set()
    """Members, and invites, to whom the key was sealed."""
    found: set[int] = set()
    for seq, item in enumerate(log, 1):
        if reader.read(item) is not None or reader.newer is not None:
            continue
        entry = RosterEntry.parse(item)
        body = entry.content()
        if isinstance(body, Genesis | Join):
            boxes[body.member_box] = entry.author if isinstance(body, Genesis) else body.member
        match body:
            case Invite(invite=key, projects=sealed) | Join(member=key, projects=sealed):
                is_meant = project in sealed
                able |= {key} if is_meant else set()
            case Project(project=named):
                is_meant = named == project
                able |= {boxes[box] for box in body.seals if is_meant and box in boxes}
            case RenameProject(project=named) | ChangeState(project=named):
                is_meant = named == project
            case ChangeRole(member=member, project=named):
                is_meant = named in {"", project} and member in able
            case AllowInviting(member=member) | RenameDevice(member=member):
                is_meant = member in able
            case Revoke(keys=keys):
                is_meant = not able.isdisjoint(keys)
            case Leave():
                is_meant = entry.author in able
            case _:
                is_meant = False
        if is_meant:
            found.add(seq)
    return found


def devices_ever(log: Sequence[bytes], membership: Membership) -> dict[DeviceId, Label]:
    """Return what every workstation that is or was of the studio is called; was, if it is out.

    Raises ForeignRoster.
    """
    reader = RosterReader(membership.genesis)
    device_of: dict[bytes, DeviceId] = {}
    found: dict[DeviceId, Label] = {}
    for item in log:
        if reader.read(item) is not None or reader.newer is not None:
            continue
        entry = RosterEntry.parse(item)
        body = entry.content()
        match body:
            case Genesis() | Join():
                member = entry.author if isinstance(body, Genesis) else body.member
                device_of[member] = device_id(body.device.public)
            case RenameDevice():
                member = body.member
            case _:
                continue
        found[device_of[member]] = _label(membership, member, body.label)
    return found


def _opened(names: Mapping[str, str], sealed: Mapping[str, bytes]) -> list[str]:
    return [name for project, name in names.items() if project in sealed]


def _label(membership: Membership, owner: bytes, sealed: bytes) -> Label:
    try:
        label = open_label(membership.name_key, owner, sealed)
    except FormatError:
        return Label(_UNREADABLE, _UNREADABLE)
    return Label(*(text and shown(text) for text in (label.member, label.device)))


def _project(membership: Membership, body: Project) -> str:
    project = ProjectId(body.project)
    try:
        sealed = body.seals[membership.keys.box]
        return shown(open_secret(membership.keys, project, sealed).name)
    except (KeyError, FormatError):
        return project


def _renamed(keys: Mapping[ProjectId, ProjectKeys], body: RenameProject) -> str:
    project = ProjectId(body.project)
    try:
        return open_project_name(keys[project], body.epoch, body.name)
    except (KeyError, FormatError):
        return project
