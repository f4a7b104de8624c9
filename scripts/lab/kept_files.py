"""Files of a soak that nobody but their maker touches: what every node may show of them, and when."""

from __future__ import annotations

import contextlib

from lab.soak_node import SoakNode
from lucidnode.fs.errors import FileError
from lucidnode.fs.replica.inode import ROOT, InodeNo, Kind
from lucidnode.fs.replica.intents import Create, Rename


class KeptFiles:
    """All of them, whoever made them."""

    def __init__(self) -> None:
        self.now: dict[bytes, bytes] = {}
        """Content by name, as it was saved last: it must be there in the end."""
        self._saved: dict[bytes, list[bytes]] = {}
        """Everything that a file ever held, in order."""
        self._seen: dict[tuple[str, bytes], int] = {}
        """Which of that a node has shown, by node and name."""

    def keep(self, node: SoakNode, *, may_save_over: bool) -> str:
        """Have the user of *node* make a file, or save one anew; return what was done."""
        prefix = f"keep-{node.name}-".encode()
        mine = [name for name in self.now if name.startswith(prefix)]
        with contextlib.suppress(FileError):
            if may_save_over and mine and node.workstation.random.random() < 0.5:
                return self._save_over(node, node.workstation.random.choice(mine))
            return self._make(node, prefix + b"%d" % len(self.now))
        return "is refused"

    def _make(self, node: SoakNode, name: bytes) -> str:
        data = b"content of " + name
        node.user.write(_created(node, name), data)
        self.now[name] = data
        self._saved[name] = [data]
        return f"keeps {name.decode()}"

    def _save_over(self, node: SoakNode, name: bytes) -> str:
        """Save as editors do: some writes to a new file, and it goes over the old one."""
        replica, scratch = node.user.replica, b"scratch-" + name
        left = replica.tree.lookup(ROOT, scratch)
        ino = _created(node, scratch) if left is None else left.ino
        version = len(self._saved[name])
        begin, end = b"version %d" % version, b" of " + name
        node.user.write(ino, begin)
        node.user.write(ino, end, len(begin))
        replica.apply(Rename(ROOT, scratch, ROOT, name, node.user.time(), 0))
        self.now[name] = begin + end
        self._saved[name].append(begin + end)
        return f"saves {name.decode()} for the {version}. time"

    def contradiction(self, node: SoakNode) -> str:
        """Return what *node* shows of them and must not, or nothing.

        Each save is seen as a whole, none after a later one, and the name at all times.
        """
        for name, versions in self._saved.items():
            found = node.user.replica.tree.lookup(ROOT, name)
            last = self._seen.get((node.name, name), -1)
            if found is None:
                if last >= 0:
                    return f"{name.decode()} is not on {node.name} any more"
                continue
            content = node.user.read(found.ino)
            if not content and last < 0:
                continue  # a new file, whose name is seen before its content
            if content not in versions:
                return f"nobody wrote {content!r}, which {node.name} has"
            seen = versions.index(content)
            if seen < last:
                return f"{name.decode()} is an older one on {node.name}"
            self._seen[node.name, name] = seen
        return ""


def _created(node: SoakNode, name: bytes) -> InodeNo:
    ino = node.user.replica.new_ino()
    node.user.replica.apply(Create(ROOT, name, ino, Kind.FILE, 0o644, 1, 1, node.user.time()))
    return ino
