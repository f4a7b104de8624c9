"""The rules of the roster: what each entry of the log may do, and what the log establishes.

Everybody reads the same log and must come to the same result, so the rules use nothing but the
entries: no clock, no configuration, no library that might judge otherwise in its next version. An
object that breaks a rule is void: skipped and reported. One that is not even an *authentic* entry
(its form, its place, an author of that moment and his signature) stands in the chain of hashes by
its stand-in; so it need not be kept, however much of it somebody puts there.

Limits are rules as well (docs/format.md, "Roster"). They keep what a ticket or an editor's key can
do to the memory of every node small, and the entries that invite and admit below MAX_ENTRY_BYTES.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.project_rules import check_state, renamed, with_state
from lucidnode.node.client.public_keys import verify
from lucidnode.node.client.roster import (
    FIRST_EPOCH,
    Device,
    Era,
    ForeignRoster,
    Member,
    OpenInvite,
    ProjectRecord,
    Roster,
    Standing,
    Void,
    VoidEntry,
)
from lucidnode.node.client.roster_entry import (
    ERA_BEFORE_BYTES,
    ERA_PROJECT,
    FORMAT,
    MAX_ERAS,
    MAX_FORMAT,
    NO_ENTRY,
    ChangeRole,
    ChangeState,
    DeviceClaim,
    Genesis,
    Invite,
    Join,
    Leave,
    NewEra,
    Project,
    RenameDevice,
    RenameProject,
    Revoke,
    Role,
    RosterEntry,
    Settings,
    device_id,
    device_proof_message,
    entry_hash,
    is_stand_in,
    stand_in,
)

MAX_PEOPLE = 1800
"""Members and open invites; a new project is sealed to each of them in one entry."""

MAX_PROJECTS = 1800
"""An invite carries the keys of all of them in one entry."""

MAX_PROJECTS_OF_EDITOR = 500
"""Projects that one editor creates; owners can create any up to MAX_PROJECTS."""

MAX_BYTES_OF_AUTHOR = 32 * 1024 * 1024
"""Bytes of authentic entries by one key that is no owner's: some 2,000 projects for 50 people."""

MAX_VOIDS = 256
"""Void entries that a roster tells of, the newest: there may be any number."""


_MAX_REASON = 200
"""Characters of why an entry is void."""


def verified(log: Iterable[bytes], genesis: bytes | None) -> Roster:
    """Return what the items of *log* 1..n establish: objects of the bucket, or their stand-ins.

    *genesis* is the hash of entry 1 as it was pinned at init or join; None only while creating
    a studio. Raises ForeignRoster if entry 1 is not that or no sound first entry.
    """
    reader = RosterReader(genesis)
    for item in log:
        reader.read(item)
    if not reader.log:
        raise ForeignRoster("the bucket holds no roster")
    return reader.roster()


class RosterReader:
    """Reads a log item by item. Each item is applied whole or, if it is void, not at all."""

    def __init__(self, genesis: bytes | None) -> None:
        """*genesis* as for `verified`."""
        self._genesis = genesis
        self._studio = b""
        self._members: dict[bytes, Member] = {}
        self._devices: dict[DeviceId, Device] = {}
        self._former: dict[DeviceId, Device] = {}
        self._eras: list[Era] = []
        self._format = FORMAT
        self._invites: dict[bytes, OpenInvite] = {}
        self._projects: dict[ProjectId, ProjectRecord] = {}
        self._written: Counter[bytes] = Counter()  # bytes of authentic entries by author
        self._created: Counter[bytes] = Counter()  # projects by author
        self._settings = b""
        self._voids: deque[VoidEntry] = deque(maxlen=MAX_VOIDS)
        self.log: list[bytes] = []
        """What is to be kept of the items read: entries, and stand-ins for what is none. With an
        entry of a later format it ends, and so has one item more than the roster's head."""
        self.hashes: list[bytes] = []
        """The hash of each item of `log`, the next entry's `previous`."""
        self.newer: Seq | None = None
        """The number of the entry of a later format at which reading ended."""

    def check(self, item: bytes) -> None:
        """Raise Void, or ForeignRoster for number 1, unless *item* is authentic as the next one.

        What is authentic its author wrote for this place; what is not may also be a bad answer of
        the bucket.
        """
        self._authentic(item)

    def read(self, item: bytes) -> VoidEntry | None:
        """Take in the next item; returns why if it counts for nothing. Raises ForeignRoster, for number 1 only.

        Behind an entry of a later format nothing is taken in.
        """
        if self.newer is not None:
            return None
        seq = Seq(len(self.log) + 1)
        try:
            entry = self._authentic(item)
        except Void as error:
            self._keep(item if is_stand_in(item) else stand_in(entry_hash(item)))
            return self._skip(seq, error)
        self._keep(item)
        self._written[entry.author] += len(item)
        if entry.format > MAX_FORMAT:
            self.newer = seq
            return None
        self._format = max(self._format, entry.format)
        try:
            self._apply(entry)
        except (Malformed, Void) as error:
            if seq == 1:
                raise ForeignRoster(f"entry 1 of the roster founds no studio: {error}") from error
            return self._skip(seq, error)
        return None

    def is_by_somebody(self, raw: bytes) -> bool:
        """Return whether *raw* was signed by a member or open invite, for whatever place."""
        try:
            entry = RosterEntry.parse(raw)
        except Malformed:
            return False
        known = entry.author in self._members or entry.author in self._invites
        return known and verify(entry.author, entry.signing_message(), entry.signature)

    def last_entry(self) -> Seq:
        """Return the number of the last authentic entry, 0 if there is none.

        What stands behind it nobody of the studio has confirmed by an entry on top of it.
        """
        number = len(self.log)
        while number and is_stand_in(self.log[number - 1]):
            number -= 1
        return Seq(number)

    def up_to(self, seq: Seq) -> RosterReader:
        """Return a reader that has read the log up to *seq* and no further."""
        reader = RosterReader(self._genesis)
        for item in self.log[:seq]:
            reader.read(item)
        return reader

    def roster(self) -> Roster:
        """Return the state as it is now; what is read later does not change it."""
        head = len(self.log) - (self.newer is not None)
        return Roster(
            studio=self._studio,
            genesis=self.hashes[0] if self.hashes else NO_ENTRY,
            head=Seq(head),
            head_hash=self.hashes[head - 1] if head else NO_ENTRY,
            members=MappingProxyType(dict(self._members)),
            devices=MappingProxyType(dict(self._devices)),
            invites=MappingProxyType(dict(self._invites)),
            projects=MappingProxyType(dict(self._projects)),
            voids=tuple(self._voids),
            newer=self.newer,
            former=MappingProxyType(dict(self._former)),
            eras=tuple(self._eras),
            format=self._format,
            settings=self._settings,
        )

    def _skip(self, seq: Seq, reason: Exception) -> VoidEntry:
        # It may quote the object, which is a stranger's and of any length.
        void = VoidEntry(seq, str(reason)[:_MAX_REASON])
        self._voids.append(void)
        return void

    def _keep(self, item: bytes) -> None:
        self.log.append(item)
        self.hashes.append(entry_hash(item))

    # -- who wrote it, and for which place ---------------------------------------------------

    def _authentic(self, item: bytes) -> RosterEntry:
        seq = len(self.log) + 1
        if seq == 1:
            return self._authentic_first(item)
        if is_stand_in(item):
            raise Void("no entry")
        try:
            entry = RosterEntry.parse(item)
        except Malformed as error:
            raise Void(str(error)) from error
        if entry.seq != seq or entry.previous != self.hashes[-1]:
            raise Void("made for another place in the log")
        author = entry.author
        if author not in self._members and author not in self._invites:
            raise Void("by nobody of the studio")
        owner = self._is_owner(author)
        if not owner and self._written[author] + len(item) > MAX_BYTES_OF_AUTHOR:
            raise Void("its author has written too much")
        if entry.format > self._format and not owner:
            raise Void("a later format, and not by an owner")
        if not verify(author, entry.signing_message(), entry.signature):
            raise Void("the signature does not hold")
        return entry

    def _authentic_first(self, item: bytes) -> RosterEntry:
        if self._genesis is not None and entry_hash(item) != self._genesis:
            raise ForeignRoster("the roster in the bucket is not the one of this studio")
        try:
            entry = RosterEntry.parse(item)
        except Malformed as error:
            raise ForeignRoster(f"entry 1 of the roster founds no studio: {error}") from error
        if (entry.format, entry.seq, entry.previous) != (FORMAT, 1, NO_ENTRY):
            raise ForeignRoster("entry 1 of the roster is not a first entry of this format")
        if not verify(entry.author, entry.signing_message(), entry.signature):
            raise ForeignRoster("the signature of entry 1 of the roster does not hold")
        return entry

    # -- what it does ------------------------------------------------------------------------

    def _apply(self, entry: RosterEntry) -> None:
        body, author = entry.content(), entry.author
        match body:
            case Genesis():
                self._found(author, body)
            case _ if not self._studio:
                raise Void("not a founding")
            case Invite():
                self._invite(author, body)
            case Join():
                self._join(author, body, Seq(entry.seq))
            case Project():
                self._project(author, body, Seq(entry.seq))
            case Revoke():
                self._revoke(author, body, Seq(entry.seq))
            case ChangeRole():
                self._change_role(author, body, Seq(entry.seq))
            case Leave():
                self._leave(author)
            case RenameDevice():
                self._rename(author, body)
            case RenameProject():
                self._rename_project(author, body, Seq(entry.seq))
            case ChangeState():
                self._change_state(author, body, Seq(entry.seq))
            case Settings():
                if not self._is_owner(author):
                    raise Void("only an owner makes settings for the studio")
                self._settings = body.sealed

    def _found(self, author: bytes, body: Genesis) -> None:
        if self._studio:
            raise Void("a second first entry")
        self._welcome(
            body.studio, author, body.member_box, "owner", body.device, body.label, Seq(1)
        )
        self._studio = body.studio

    def _invite(self, author: bytes, body: Invite) -> None:
        if not self._is_owner(author):
            raise Void("only an owner invites")
        self._require_new_keys(body.invite, body.invite_box)
        if len(self._members) + len(self._invites) >= MAX_PEOPLE:
            raise Void("too many members and open invites")
        self._invites[body.invite] = OpenInvite(
            body.invite, body.invite_box, body.role, body.expires_ns, body.label, author
        )
        self._add_seals(body.invite_box, body.projects)

    def _join(self, author: bytes, body: Join, seq: Seq) -> None:
        invite = self._invites.get(author)
        if invite is None:
            raise Void("no such open invite")
        if body.joined_ns > invite.expires_ns:
            raise Void("the invite had expired")
        self._require_new_keys(body.member, body.member_box)
        self._welcome(
            self._studio, body.member, body.member_box, invite.role, body.device, body.label, seq
        )
        self._add_seals(body.member_box, body.projects)
        del self._invites[author]

    def _project(self, author: bytes, body: Project, seq: Seq) -> None:
        member = self._members.get(author)
        if member is None or member.role == "viewer" or member.has_left:
            raise Void("only an owner or editor creates projects")
        project = ProjectId(body.project)
        if project == ERA_PROJECT:
            raise Void("the id of no project")
        if project in self._projects:
            raise Void("the project exists")
        if len(self._projects) >= MAX_PROJECTS:
            raise Void("too many projects")
        if member.role != "owner" and self._created[author] >= MAX_PROJECTS_OF_EDITOR:
            raise Void("too many projects by this editor")
        boxes = self._boxes()
        seals = {box: sealed for box, sealed in body.seals.items() if box in boxes}
        self._projects[project] = ProjectRecord(
            project,
            body.block_size,
            author,
            MappingProxyType(seals),
            seq,
            FIRST_EPOCH + len(self._eras),
        )
        self._created[author] += 1

    def _rename_project(self, author: bytes, body: RenameProject, seq: Seq) -> None:
        record = self._changing(author, body.project)
        epochs = range(record.first_epoch, FIRST_EPOCH + len(self._eras) + 1)
        self._projects[record.id] = renamed(record, body, seq, epochs)

    def _change_state(self, author: bytes, body: ChangeState, seq: Seq) -> None:
        record = self._changing(author, body.project)
        check_state(record, body)
        self._check_era(body.era)
        self._projects[record.id] = with_state(record, body, seq)
        self._begin_era(body.era, seq)

    def _changing(self, author: bytes, project: str) -> ProjectRecord:
        if not self._is_owner(author):
            raise Void("only an owner changes projects")
        record = self._projects.get(ProjectId(project))
        if record is None:
            raise Void("no such project")
        return record

    def _revoke(self, author: bytes, body: Revoke, seq: Seq) -> None:
        if not self._is_owner(author):
            raise Void("only an owner puts out")
        if not all(key in self._members or key in self._invites for key in body.keys):
            raise Void("no such member or open invite")
        gone = {key for key in body.keys if key in self._members}
        if not any(member.role == "owner" for member in self._staying(gone)):
            raise Void("no owner would stay")
        self._check_era(body.era)
        for key in gone:
            self._put_out(key, seq)
        self._close_invites_of(gone)
        for key in body.keys:
            self._invites.pop(key, None)
        self._begin_era(body.era, seq)

    def _change_role(self, author: bytes, body: ChangeRole, seq: Seq) -> None:
        if not self._is_owner(author):
            raise Void("only an owner changes roles")
        member = self._members.get(body.member)
        if member is None or member.has_left:
            raise Void("no such member")
        project = ProjectId(body.project) if body.project else None
        device = self._devices[member.device]
        if project is None:
            if not any(each.role == "owner" for each in self._staying({member.public})) and (
                body.role != "owner"
            ):
                raise Void("no owner would stay")
        elif project not in self._projects:
            raise Void("no such project")
        elif member.role == "owner" or body.role == "owner":
            raise Void("an owner is one in every project")
        self._check_era(body.era)
        standings = (*device.standings, Standing(seq, project, body.role))
        self._devices[device.id] = replace(
            device, standings=standings, role=body.role if project is None else device.role
        )
        if project is None:
            self._members[member.public] = replace(member, role=body.role)
            if body.role != "owner":
                self._close_invites_of({member.public})
        self._begin_era(body.era, seq)

    def _leave(self, author: bytes) -> None:
        member = self._members.get(author)
        if member is None or member.has_left:
            raise Void("no such member")
        if not any(each.role == "owner" for each in self._staying({author})):
            raise Void("no owner would stay")
        self._members[author] = replace(member, has_left=True)
        self._close_invites_of({author})
        self._former[member.device] = self._devices.pop(member.device)

    def _rename(self, author: bytes, body: RenameDevice) -> None:
        by, member = self._members.get(author), self._members.get(body.member)
        if by is None or by.has_left or (by.role != "owner" and author != body.member):
            raise Void("only an owner renames others")
        if member is None or member.has_left:
            raise Void("no such member")
        self._members[member.public] = replace(member, label=body.label)

    def _staying(self, gone: Collection[bytes]) -> list[Member]:
        return [
            member
            for key, member in self._members.items()
            if key not in gone and not member.has_left
        ]

    def _close_invites_of(self, gone: Collection[bytes]) -> None:
        for key in [key for key, invite in self._invites.items() if invite.author in gone]:
            del self._invites[key]

    def _put_out(self, key: bytes, seq: Seq) -> None:
        member = self._members.pop(key)
        device = self._devices.pop(member.device, None) or self._former[member.device]
        self._former[device.id] = replace(
            device, standings=(*device.standings, Standing(seq, None, None))
        )

    def _check_era(self, era: NewEra) -> None:
        if len(era.before) != (ERA_BEFORE_BYTES if self._eras else 0):
            raise Void("an era that does not follow the one before")
        if len(self._eras) >= MAX_ERAS:
            raise Void("too many eras")

    def _begin_era(self, era: NewEra, seq: Seq) -> None:
        for key in [key for key, member in self._members.items() if member.has_left]:
            self._put_out(key, seq)
        boxes = self._boxes()
        seals = {box: sealed for box, sealed in era.seals.items() if box in boxes}
        self._eras.append(Era(seq, era.before, MappingProxyType(seals)))

    def _welcome(
        self,
        studio: bytes,
        public: bytes,
        box: bytes,
        role: Role,
        claim: DeviceClaim,
        label: bytes,
        seq: Seq,
    ) -> None:
        device = device_id(claim.public)
        if device in self._devices or device in self._former:
            raise Void("the device belongs to a member already")
        message = device_proof_message(studio, public, box, claim.public, claim.certificate)
        if not verify(claim.public, message, claim.proof):
            raise Void("the device does not confirm its member")
        self._devices[device] = Device(
            device, claim.public, claim.certificate, public, role, (Standing(seq, None, role),)
        )
        self._members[public] = Member(public, box, role, device, label)

    def _add_seals(self, box: bytes, projects: Mapping[str, bytes]) -> None:
        if self._eras and (sealed_era := projects.get(ERA_PROJECT)) is not None:
            newest = self._eras[-1]
            self._eras[-1] = replace(
                newest, seals=MappingProxyType({**newest.seals, box: sealed_era})
            )
        for name, sealed in projects.items():
            record = self._projects.get(ProjectId(name))
            if record is not None:
                seals = MappingProxyType({**record.seals, box: sealed})
                self._projects[record.id] = replace(record, seals=seals)

    def _is_owner(self, author: bytes) -> bool:
        member = self._members.get(author)
        return member is not None and member.role == "owner" and not member.has_left

    def _boxes(self) -> set[bytes]:
        boxes = {member.box for member in self._members.values()}
        return boxes | {invite.box for invite in self._invites.values()}

    def _require_new_keys(self, public: bytes, box: bytes) -> None:
        """Two people behind one key could not be told apart, nor one of them removed."""
        if public in self._members or public in self._invites or box in self._boxes():
            raise Void("a key that is in use")
