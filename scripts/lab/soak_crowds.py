"""Three or four people do several things each in one tree, and commit in any order.

None has heard of the others when he begins; then they commit and follow one entry at a time, crash,
and go on. Nothing that somebody put somewhere, or claimed, may be gone in the end.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251  # seeded: a failure can be repeated

from contested_world import (
    OPERATIONS,
    Operation,
    Person,
    check_conflicts,
    check_kept,
    deed,
    plant,
)
from replica_fixture import Blocks, Journal, Node

MEETINGS = 8
"""Trees in one seed."""


def run_seed(seed: int) -> Counter[str]:
    """Let some people meet; raises AssertionError if something is lost."""
    random = Random(seed)
    happened: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="lucid-crowd-") as path:
        blocks, journal = Blocks(), Journal()
        names = ["first", "b", "third", "no4"][: random.choice([3, 3, 4])]
        nodes = [Node(Path(path) / f"{name}.db", name, blocks, seed) for name in names]
        for number in range(MEETINGS):
            happened += _meeting(random, journal, nodes, number)
        for node in nodes:
            node.check()
            assert node.rows() == nodes[0].rows(), "the replicas differ"
        for node in nodes:
            node.close()
    return happened


def _meeting(random: Random, journal: Journal, nodes: list[Node], number: int) -> Counter[str]:
    world = plant(nodes[0], b"%d" % number)
    journal.settle(*nodes)
    persons = [
        Person(
            node,
            world,
            saves_late=random.random() < 0.3,
            holds_open=random.random() < 0.3,
        )
        for node in nodes
    ]
    done = [_some(random) for _ in persons]
    deeds = [
        deed(person, operation, at_random=True)
        for person, operation in zip(persons, done, strict=True)
    ]
    happened = Counter({"meetings": 1, "steps": sum(map(len, done))})
    try:
        for _ in range(random.randrange(12)):
            happened[_step(random, journal, random.choice(persons))] += 1
        for person in (*persons, *persons):
            while person.node.replica.pending.has_work():
                _commit(journal, person)
            person.told += journal.pull(person.node)
            person.close_all()
        journal.settle(*nodes)
        journal.settle(*nodes)
        for person in persons:
            assert person.files() == persons[0].files(), f"{person.node.name} sees another tree"
        check_kept(persons[0], deeds)
        check_conflicts(persons, most=len(persons) - 1 + max(map(len, done)))
    except AssertionError as error:
        raise AssertionError(f"meeting {number}, {done}: {error}") from error
    return happened


def _some(random: Random) -> Operation:
    names = random.choices(list(OPERATIONS), k=random.choice([1, 1, 2, 3]))
    return tuple(step for name in names for step in OPERATIONS[name])


def _step(random: Random, journal: Journal, person: Person) -> str:
    match random.randrange(5):
        case 0 if not person.opened:  # what is open without a name ends with its process
            person.node.crash()
            return "crashes"
        case 1 | 2 if person.node.replica.pending.head().seq < len(journal.entries):
            person.told.append(journal.pull_one(person.node))
            return "entries followed"
        case _:
            _commit(journal, person)
            return "commits tried"


def _commit(journal: Journal, person: Person) -> None:
    if (touched := journal.commit(person.node)) is not None:
        person.told.append(touched)
