"""Two nodes whose users meet in one tree after the other."""

from __future__ import annotations

from pathlib import Path

from contested_world import (
    OPERATIONS,
    Person,
    check_conflicts,
    check_kept,
    check_places,
    deed,
    plant,
)
from replica_fixture import Blocks, Journal, Node


class Pair:
    """Two nodes, and a tree of its own for each meeting. `finish` it."""

    def __init__(self, path: Path) -> None:
        blocks = Blocks()
        self.nodes = Node(path / "first.db", "first", blocks), Node(path / "b.db", "b", blocks)
        self.journal = Journal()
        self.meetings = 0

    def try_out(
        self,
        first: str,
        second: str,
        *,
        winner_holds_open: bool = False,
        loser_is_late: bool = False,
    ) -> None:
        """Let *first* win against *second*, and assert that both people find what they put.

        *winner_holds_open*: what the winner unlinks is open there. *loser_is_late*: his bytes wait
        as tails, and what he unlinks is open, too.
        """
        self.meetings += 1
        world = plant(self.nodes[0], b"%d" % self.meetings)
        self.journal.settle(*self.nodes)
        one, other = self.nodes
        winner = Person(one, world, holds_open=winner_holds_open)
        loser = Person(other, world, saves_late=loser_is_late, holds_open=loser_is_late)
        theirs = deed(winner, OPERATIONS[first])
        ours = deed(loser, OPERATIONS[second])
        try:
            self._meet(winner, loser)
            check_kept(loser, [theirs, ours])
            check_places(loser, theirs, ours)
            check_conflicts([loser, winner], most=1)
        except AssertionError as error:
            raise AssertionError(f"{first!r} before {second!r}: {error}") from error

    def _meet(self, winner: Person, loser: Person) -> None:
        """Let *winner* commit before *loser*, both close what they hold, and all come to rest."""
        for person in (winner, loser, winner, loser):
            while person.node.replica.pending.has_work():
                if (touched := self.journal.commit(person.node)) is not None:
                    person.told.append(touched)
            person.told += self.journal.pull(person.node)
            person.close_all()
        self.journal.settle(*self.nodes)
        assert winner.files() == loser.files()

    def finish(self) -> None:
        """Assert that both replicas are one sound tree."""
        one, other = self.nodes
        assert one.rows() == other.rows()
        for node in self.nodes:
            node.check()
            node.close()
