"""One member's access to one project: its keys, and whose journal entries count."""

from __future__ import annotations

from lucidnode.fs.errors import NoSuchProject
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.roster_client import RosterClient
from lucidnode.fs.membership.roster_view import Closed, OpenProject, RosterView
from lucidnode.node.client.ids import DeviceId, ProjectId
from lucidnode.node.client.roster_entry import Role
from lucidnode.node.client.wire import RosterLook


class ProjectAccess:
    """What the roster says of *project* for one member. Make it with `open`."""

    def __init__(
        self, roster: RosterClient, membership: Membership, view: RosterView, project: ProjectId
    ) -> None:
        self._roster = roster
        self._membership = membership
        self._id = project
        self._view = view
        self._project = _project(view, project)
        self._keys = self._project.keys

    @classmethod
    async def open(
        cls, roster: RosterClient, membership: Membership, project: ProjectId
    ) -> ProjectAccess:
        """Read the roster. Raises a NodeError, NotAMember, NoSuchProject."""
        view = RosterView.read(await roster.entries(), membership)
        return cls(roster, membership, view, project)

    async def refresh(self, look: RosterLook = "must") -> None:
        """Read the roster again; raises as `open` does, and changes nothing then.

        Unless *look* says otherwise, Unavailable too while the bucket does not show whether there is
        news: what counts must not hang on a log that is too old.
        """
        view = RosterView.read(await self._roster.entries(look), self._membership)
        self._view, self._project = view, _project(view, self._id)
        self._keys.learn(self._project.keys)

    @property
    def id(self) -> ProjectId:
        """The project's id."""
        return self._id

    @property
    def name(self) -> str:
        """What people call the project."""
        return self._project.name

    def device_name(self, device: DeviceId) -> str:
        """Return what people call *device*; its id if the roster has no name for it."""
        return self.who(device)[1]

    def who(self, device: DeviceId) -> tuple[str, str]:
        """Return what people call the member at *device*, and *device*; "" and its id if nobody does."""
        label = self._view.labels().get(device)
        return ("", device[:8]) if label is None else (label.member, label.device)

    def devices(self) -> list[DeviceId]:
        """Return the workstations of all who are or were members."""
        return list(self._view.labels())

    @property
    def block_size(self) -> int:
        return self._project.block_size

    @property
    def may_write(self) -> bool:
        """Whether others would count what we commit."""
        return self._view.role_in(self._id) != "viewer" and self.closed is None

    @property
    def role(self) -> Role | None:
        """What this member may do in the project."""
        return self._view.role_in(self._id)

    @property
    def closed(self) -> Closed | None:
        """Why nobody may change the project now, archived or deleted as it is."""
        return self._project.closed

    @property
    def deleted(self) -> Closed | None:
        """The same, but only of a project that is deleted."""
        return self._project.closed if self._project.state == "deleted" else None

    @property
    def is_owner(self) -> bool:
        """Whether this member owns the studio."""
        return self._view.me.role == "owner"

    def role_of(self, member: bytes) -> Role | None:
        """Return what the member with the signing key *member* may do in the project; None for a stranger."""
        known = self._view.roster.members.get(member)
        device = None if known is None else self._view.roster.devices.get(known.device)
        return None if device is None else device.role_in(self._id)

    def writer_boxes(self) -> list[bytes]:
        """Return the box keys of all members who may write to the project."""
        members = self._view.roster.members.values()
        return [one.box for one in members if self.role_of(one.public) in {"owner", "editor"}]

    @property
    def device(self) -> DeviceId:
        """The id of this machine."""
        return self._view.me.device

    @property
    def workstation(self) -> str:
        """What people call this machine; it goes into the names of conflict copies."""
        return self.who(self.device)[1]

    def keys(self) -> ProjectKeys:
        """Return the project's keys; what has them has those of later epochs, once they are read."""
        return self._keys

    def writer_key(self, device: DeviceId, epoch: int) -> bytes | None:
        """Return the Ed25519 key of a device whose entries of *epoch* count, else None."""
        return self._view.roster.writer_in(self._id, device, epoch)

    def trusted_key(self, device: DeviceId) -> bytes | None:
        """Return the Ed25519 key of a device whose checkpoints are believed now, else None."""
        return self._view.roster.trusted_in(self._id, device)


def _project(view: RosterView, wanted: ProjectId) -> OpenProject:
    for project in view.projects_and_deleted():
        if project.id == wanted:
            return project
    raise NoSuchProject("this project is not open to you: ask a member to share it")
