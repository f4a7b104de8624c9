"""git: a repository of many files with branches, cloned, packed and checked on the mount."""

from __future__ import annotations

from pathlib import Path
from random import Random  # noqa: TID251  # seeded

from lab.errors import LabError
from lab.two_nodes import TwoNodes

PACKAGES = ("git",)

_FILES = 1000
_FOLDER = "git"

_WHO = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


class Repository:
    """A working tree, driven with the real git."""

    def __init__(self, nodes: TwoNodes, root: Path) -> None:
        self._nodes = nodes
        self.root = root

    def git(self, *words: str) -> str:
        """Run git in it."""
        # Of b's, root of another device might own what b's user sees: git asks for that.
        safe = ["-c", "safe.directory=*", "-c", "gc.auto=0", "-C", str(self.root)]
        return self._nodes.run("git", *safe, *words, env=_WHO)

    def commit(self, message: str) -> None:
        """Commit everything that is there."""
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def assert_sound(self, branches: int) -> None:
        """Raise LabError unless everything is there and nothing is changed."""
        self.git("fsck", "--full", "--strict", "--no-dangling")
        if said := self.git("status", "--porcelain"):
            raise LabError(f"git sees changes in {self.root}: {said[:200]}")
        found = self.git("for-each-ref", "--format=%(refname)", "refs/heads").split()
        if len(found) != branches:
            raise LabError(f"{len(found)} branches in {self.root}, not {branches}")


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    random, top = Random(1), nodes.here / _FOLDER
    top.mkdir()
    origin = Repository(nodes, top / "origin")
    origin.root.mkdir()
    origin.git("init", "-q", "-b", "main")
    _write_files(origin.root, random, range(_FILES))
    origin.commit("everything")
    for name in ("colour", "sound"):
        origin.git("switch", "-qc", name, "main")
        _write_files(origin.root, random, random.sample(range(_FILES), _FILES // 3))
        origin.commit(f"work on {name}")

    clone = Repository(nodes, top / "clone")
    nodes.run("git", "clone", "-q", "--no-hardlinks", origin.root, clone.root, env=_WHO)
    for name in ("colour", "main"):
        clone.git("switch", "-q", name)
    switches = max(2, round(10 * extent))
    for number in range(switches):
        clone.git("switch", "-q", ("colour", "main")[number % 2])
        if said := clone.git("status", "--porcelain"):
            raise LabError(f"after a switch git sees changes: {said[:200]}")
    clone.git("switch", "-q", "main")
    clone.git("merge", "-q", "-m", "merge", "colour")
    clone.git("gc", "-q", "--prune=now")
    clone.git("worktree", "add", "-q", str(top / "beside"), "origin/sound")
    origin.assert_sound(3)
    clone.assert_sound(3)
    head = clone.git("rev-parse", "HEAD", "HEAD^{tree}")
    names = nodes.check(_FOLDER)

    for root, branches in ((origin.root, 3), (clone.root, 3)):
        Repository(nodes, nodes.there / root.relative_to(nodes.here)).assert_sound(branches)
    elsewhere = Repository(nodes, nodes.there / _FOLDER / "clone")
    if elsewhere.git("rev-parse", "HEAD", "HEAD^{tree}") != head:
        raise LabError("the other node has another commit")
    return f"{_FILES} files, 3 branches, clone, {switches} switches, merge, gc, worktree; {names} names"


def _write_files(root: Path, random: Random, numbers: range | list[int]) -> None:
    for number in numbers:
        path = root / f"reel{number % 20:02d}" / f"shot{number:04d}.edl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{random.random()}\n" for _ in range(random.randrange(1, 200))))
