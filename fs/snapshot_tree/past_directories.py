"""Listings where some directories are of snapshots: those of the mount, of the snapshots, of each state."""

from __future__ import annotations

from collections.abc import Iterator

from lucidnode.fs.errors import Invalid
from lucidnode.fs.files.directories import PAGE_OF_NAMES, Directories
from lucidnode.fs.files.kept_listings import Holding
from lucidnode.fs.files.listing import DOT, DOT_DOT, START, Entry, cookie_of
from lucidnode.fs.replica.inode import ROOT, Attributes, InodeNo
from lucidnode.fs.snapshot_tree.past_files import PastFiles, PastHandle
from lucidnode.fs.snapshot_tree.snapshot_names import NAME, SnapshotNames
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS

_BEHIND_NAME = cookie_of(NAME)


class PastDirectories:
    """What `Directories` is to a mount without snapshots. With *visible* the root lists them."""

    def __init__(
        self,
        now: Directories,
        past: PastFiles,
        names: SnapshotNames,
        handles: Iterator[int],
        *,
        visible: bool,
    ) -> None:
        self._now = now
        self._past = past
        self._names = names
        self._handles = handles
        self._visible = visible
        self._roots: set[int] = set()
        """Handles of the root, which lists what the tables do not have."""
        self._own: dict[int, list[Entry]] = {}
        """Handles of the directory of snapshots, with what each lists."""

    def open(self, ino: InodeNo) -> tuple[int, Holding]:
        """As `Directories.open`; of a state that is not open, raises FileMissing."""
        if ino == SNAPSHOTS:
            handle = next(self._handles)
            self._own[handle] = []
            return handle, Holding(may_hold=False, is_right=False)
        if self._past.has(ino):
            state, file = self._past.file(ino)
            inner, holding = state.files.directories.open(file.ino)
            return self._past.opened(state, file, inner), holding
        handle, holding = self._now.open(ino)
        if ino == ROOT:
            self._roots.add(handle)
        return handle, holding

    def passed(self, handle: int, cookie: int, names: int, behind: int) -> None:
        """As `Directories.passed`."""
        if handle in self._own:
            return
        if (opened := self._past.handle(handle)) is not None:
            opened.state.files.directories.passed(opened.inner, cookie, names, behind)
            return
        self._now.passed(handle, cookie, names, behind)

    def entries(self, handle: int, cookie: int, most: int = PAGE_OF_NAMES) -> list[Entry]:
        """As `Directories.entries`."""
        if handle in self._own:
            return self._snapshots(handle, cookie)
        if (opened := self._past.handle(handle)) is not None:
            page = opened.state.files.directories.entries(opened.inner, cookie, most)
            return [each._replace(attributes=self._shown(opened, each)) for each in page]
        if handle in self._roots:
            return self._root(handle, cookie, most)
        return self._now.entries(handle, cookie, most)

    def state(self, handle: int) -> tuple[InodeNo, int] | None:
        """As `Directories.state`: None where snapshots are among what is listed."""
        if handle in self._own or handle in self._roots or self._past.handle(handle) is not None:
            return None
        return self._now.state(handle)

    def following(self, ino: InodeNo) -> InodeNo | None:
        """As `Directories.following`, among directories of now."""
        return self._now.following(ino)

    def handed_out(self, handle: int, names: dict[int, bytes]) -> None:
        """As `Directories.handed_out`."""
        if handle in self._own:
            return
        if (opened := self._past.handle(handle)) is not None:
            opened.state.files.directories.handed_out(opened.inner, names)
            return
        self._now.handed_out(handle, names)

    def release(self, handle: int) -> None:
        """As `Directories.release`."""
        if handle in self._own:
            del self._own[handle]
            return
        if (opened := self._past.handle(handle)) is not None:
            self._past.released(handle)
            opened.state.files.directories.release(opened.inner)
            return
        self._roots.discard(handle)
        self._now.release(handle)

    def _root(self, handle: int, cookie: int, most: int) -> list[Entry]:
        if cookie == _BEHIND_NAME and self._visible:
            return []
        while page := self._now.entries(handle, cookie, most):
            # What the project has of this name is not to be seen here.
            shown = [each for each in page if each.name != NAME]
            if shown:
                return shown
            cookie = page[-1].cookie
        return [Entry(NAME, self._names.directory(), _BEHIND_NAME)] if self._visible else []

    def _shown(self, opened: PastHandle, entry: Entry) -> Attributes:
        if entry.name == b".." and opened.file.ino == ROOT:
            return self._names.directory()
        return self._past.shown(opened.file, entry.attributes)

    def _snapshots(self, handle: int, cookie: int) -> list[Entry]:
        if cookie == START:
            self._own[handle] = [
                Entry(b".", self._names.directory(), DOT),
                Entry(b"..", self._past.root_of_now(), DOT_DOT),
                *(Entry(name, shown, cookie_of(name)) for name, shown in self._names.listed()),
            ]
            return self._own[handle]
        for place, entry in enumerate(self._own[handle], 1):
            if entry.cookie == cookie:
                return self._own[handle][place:]
        raise Invalid("a cookie that this listing never had")
