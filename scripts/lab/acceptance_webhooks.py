"""A webhook whose tellers die: it is told of everything, in order, by whichever workstation lives.

The daemon that tells is killed and comes back; its whole workstation loses power, and after two minutes of
silence the other one goes on; that one unmounts, and the first takes over at once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from lab.errors import LabError
from lab.network import CLOUD
from lab.patience import until
from lab.places import SCRIPTS
from lab.process import Process
from lab.two_nodes import TwoNodes
from lab.workstation import Workstation, environment

PACKAGES = ()

_FOLDER = "webhooks"
_FOLDERS = 20
"""What each makes in each part."""

_PORT = 8099
_TAKEN_OVER_S = 240.0
"""For a job whose holder died: two minutes of silence, and what the machine needs."""


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    story = _Story(nodes, max(3, round(_FOLDERS * extent)))
    receiver = story.receive()
    try:
        return story.play()
    finally:
        receiver.kill()


class _Story:
    def __init__(self, nodes: TwoNodes, count: int) -> None:
        self.nodes = nodes
        self.count = count
        self.made: list[str] = []
        self.lines = nodes.lab.places.root / "told.jsonl"
        self.address = nodes.lab.network.address(CLOUD)

    def receive(self) -> Process:
        places, network = self.nodes.lab.places, self.nodes.lab.network
        arguments = [str(self.address), str(_PORT), str(self.lines)]
        self.lines.touch()
        return Process.start(
            [*network.entering(CLOUD), "python", "-P", "-m", "lab.webhook_receiver", *arguments],
            log=places.log("receiver"),
            env={**environment(places), "PYTHONPATH": str(SCRIPTS)},
        )

    def play(self) -> str:
        nodes = self.nodes
        a, b = nodes.a, nodes.b
        (nodes.here / _FOLDER).mkdir()
        until((nodes.there / _FOLDER).is_dir, within=60, what="b does not show a's folder")
        self.run(a, "webhook", "add", f"http://{self.address}:{_PORT}/hook")
        self.await_told_by(b, a)
        self.make(nodes.here)
        self.make(nodes.there)
        self.await_all(60)
        nodes.kill("daemon")
        self.make(nodes.there)
        nodes.restart()
        self.await_all(60)
        nodes.lab.kill(a.name)
        before = len(self.told())
        self.make(nodes.there)
        self.await_all(_TAKEN_OVER_S)
        self.await_told_by(b, b)
        twice = len(self.told()) - before - self.count
        nodes.restart()
        self.make(nodes.here)
        self.make(nodes.there)
        self.await_all(60)
        self.await_told_by(a, b)
        b.stop()
        self.make(nodes.here)
        self.await_all(60)
        self.await_told_by(a, a)
        nodes.lab.start(b)
        self.assert_in_order()
        return (
            f"{len(self.made)} folders of two workstations told in order, through a daemon that was killed, a "
            f"power cut ({max(0, twice)} told twice) and an unmount"
        )

    # -- what happens --------------------------------------------------------------------------

    def run(self, station: Workstation, *words: str) -> str:
        prefix, env = self.nodes.lab.inside(station.name)
        return self.nodes.run(*prefix, "lucidnode", *words, env=env)

    def make(self, top: Path) -> None:
        for _ in range(self.count):
            name = f"{len(self.made):04}"
            (top / _FOLDER / name).mkdir()
            self.made.append(name)

    # -- what is seen --------------------------------------------------------------------------

    def told(self) -> list[tuple[str, int, int]]:
        """Return the workstation's address, the entry, and how many were told of it, message by message."""
        messages = []
        for line in self.lines.read_text().splitlines():
            address, _, body = line.partition(" ")
            message = json.loads(body)
            if message["event"] == "missed":
                raise LabError(f"entries were missed: {message}")
            if message["event"] == "commit":
                made = sum(each["event"] == "create" for each in message["changes"])
                messages.append((address, int(message["seq"]), made))
        return messages

    def await_all(self, within: float) -> None:
        """Return once all that was made was told."""
        until(
            lambda: sum({seq: made for _, seq, made in self.told()}.values()) >= len(self.made),
            within=within,
            what=f"not all of {len(self.made)} folders were told",
        )

    def await_told_by(self, asked: Workstation, teller: Workstation) -> None:
        """Return once *asked* says that *teller* tells it."""
        wanted = "this workstation" if asked is teller else teller.name

        def is_told() -> bool:
            listed = json.loads(self.run(asked, "webhook", "list", "--json"))["webhooks"]
            return any(wanted in webhook["told_by"] for webhook in listed)

        until(is_told, within=60, what=f"{asked.name} does not say that {teller.name} tells it")

    def assert_in_order(self) -> None:
        first: dict[int, None] = {}
        for _, seq, _ in self.told():
            first.setdefault(seq)
        assert list(first) == sorted(first), "an entry was told before an older one"
        if {os.fspath(address) for address, _, _ in self.told()} != {
            str(station.record.address) for station in (self.nodes.a, self.nodes.b)
        }:
            raise LabError("not both workstations have told something")
