"""Two workstations of a lab: programs run on the first, and the second shows what has come of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.lab import Lab, make, remove
from lab.patience import until
from lab.record import Plan
from lab.tree import Tree, differences, tree

_PATIENCE_S = 180.0
"""For what must come, however busy the machine is."""


class TwoNodes:
    """*lab* has the workstations a and b, and one project that is mounted on both."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.a, self.b = lab.workstations.values()

    @property
    def here(self) -> Path:
        """The project on a."""
        return self.a.mount_point

    @property
    def there(self) -> Path:
        """The project on b."""
        return self.b.mount_point

    @property
    def local(self) -> Path:
        """A directory on this machine's disk, outside the project."""
        folder = self.lab.places.root / "local"
        folder.mkdir(exist_ok=True)
        if self.lab.record.plan.allow_other:
            folder.chmod(0o777)
        return folder

    def run(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        within: float = 300.0,
    ) -> str:
        """Run a program with the project on a. Raises CommandFailed."""
        return run([str(word) for word in argv], env={**os.environ, **(env or {})}, within=within)

    # -- what b sees ---------------------------------------------------------------------------

    def settle(self) -> None:
        """Return once nothing is on its way, and both show the same journal entry."""
        until(self._is_settled, within=_PATIENCE_S, what="the nodes do not come to rest")

    def _is_settled(self) -> bool:
        status = [station.facts("status") for station in (self.a, self.b)]
        mounts = [mount for each in status for mount in each["mounts"]]
        return (
            len(mounts) == 2
            and len({mount["head"] for mount in mounts}) == 1
            and not any(mount["pending"] for mount in mounts)
            and not any(each["uploads"]["blocks"] or each["on_their_way"] for each in status)
        )

    def empty(self) -> None:
        """Have b start from nothing: no blocks, no replica, no pages; nor has a a block to give."""
        self.settle()
        b = self.b
        with self.lab.places.locked():
            b.stop()
            for replica in b.home.glob("projects/*/replica.db*"):
                replica.unlink()
            self.lab.start_daemon(b)
            until(self._is_cleared, within=_PATIENCE_S, what="the caches do not stay empty")
            b.start_mount()
            self.lab.save()

    def _is_cleared(self) -> bool:
        """Clear both caches; tell whether they are empty: each may offer the other what it owns."""
        for station in (self.a, self.b):
            prefix, environment = self.lab.inside(station.name)
            run([*prefix, "lucidnode", "cache", "clear"], env=environment)
        return not any(station.facts("cache")["blocks"] for station in (self.a, self.b))

    def check(self, *folders: str) -> int:
        """Compare *folders* of the project on a with what b has of them, from the bucket alone.

        Returns how many names there are. Raises LabError with the first differences.
        """
        self.await_same(*folders)
        # What a's programs see: from its kernel's pages, its replica and its staging.
        before = {folder: tree(self.here / folder) for folder in folders}
        self.empty()
        self.await_same(*folders)
        for folder in folders:
            self._compare(folder, before[folder], tree(self.there / folder))
            self._compare(folder, before[folder], tree(self.here / folder))
        return sum(map(len, before.values()))

    def await_same(self, *folders: str) -> None:
        """Return once b shows the names, sizes and times of *folders* that a shows."""
        last: list[str] = []

        def same() -> bool:
            last.clear()
            for folder in folders:
                try:
                    here, there = (
                        tree(top / folder, contents=False) for top in (self.here, self.there)
                    )
                except OSError as error:  # somebody is changing it still
                    last.append(str(error))
                    return False
                last.extend(differences(here, there))
            return not last and self._is_settled()

        try:
            until(same, within=_PATIENCE_S, what="b does not show what a shows")
        except LabError as error:
            raise LabError(f"{error}: " + "; ".join([*last, *self._said()])) from None

    def _said(self) -> list[str]:
        """Return what each node says of itself, in a line."""
        lines = []
        for station in (self.a, self.b):
            status = station.facts("status")
            waiting = [(mount["head"], mount["pending"]) for mount in status["mounts"]]
            alerts = [alert["cause"] for alert in status["alerts"]]
            lines.append(
                f"{station.name}: head and pending {waiting}, uploads {status['uploads']}, "
                f"on their way {status['on_their_way']}, alerts {alerts}"
            )
        return lines

    def _compare(self, folder: str, before: Tree, after: Tree) -> None:
        wrong = differences(before, after)
        if wrong:
            raise LabError(f"{folder} is not the same through an empty cache: " + "; ".join(wrong))

    # -- what happens to a -----------------------------------------------------------------------

    def kill(self, *what: str) -> None:
        """Kill `mount`, `daemon` or both of a with SIGKILL."""
        for each in what:
            process = getattr(self.a.record, each)
            assert process is not None
            process.kill()

    def restart(self) -> None:
        """Start again what was killed of a."""
        with self.lab.places.locked():
            daemon = self.a.record.daemon
            if daemon is None or not daemon.alive():
                self.lab.start_daemon(self.a)
            mount = self.a.record.mount
            if mount is None or not mount.alive():
                self.a.start_mount()
            self.lab.save()


@contextlib.contextmanager
def two_nodes(name: str) -> Iterator[TwoNodes]:
    """Have two nodes on a LAN, with everybody on this machine let in; leave nothing behind."""
    try:
        yield TwoNodes(make(name, Plan(nodes=2, allow_other=True), lambda _: None))
    finally:
        remove(name)
