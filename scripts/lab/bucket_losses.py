"""What a bucket can lose for good: entries gone or spoiled, all of it, or a part of its past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random  # noqa: TID251  # seeded by the caller

from lucidnode.node.bucket.keys import journal_key, journal_prefix, kind_of, roster_key
from lucidnode.node.client.ids import ProjectId, Seq
from lucidnode.node.client.journal import HEADER_SIZE

KINDS = (
    "newest",
    "newest",
    "middle",
    "middle",
    "several",
    "all entries",
    "roster lost",
    "roster spoiled",
    "rolled back",
    "emptied",
)

_MOST_NEWEST = 4
_WATCHED = 60
"""Entries from the newest down among which one is lost: older ones are not looked after."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What was done to the bucket. *seqs* are the journal entries that are not what they were."""

    kind: str
    how: str
    seqs: tuple[Seq, ...]
    roster: tuple[Seq, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}, {self.how}: entries {list(self.seqs)}, members {list(self.roster)}"


def lose(
    random: Random, objects: dict[str, bytes], project: ProjectId, earlier: Mapping[str, bytes]
) -> Loss:
    """Take something from *objects*, of which *earlier* is a state of some time ago."""
    kind = random.choice(KINDS)
    how = random.choice(("deleted", "deleted", "replaced", "cut", "flipped"))
    before = dict(objects)
    seqs = _numbers(objects, project)
    match kind:
        case "newest":
            count = min(len(seqs), random.randint(1, _MOST_NEWEST))
            _spoil(random, objects, project, seqs[len(seqs) - count :], how)
        case "middle" | "several":
            inner = seqs[:-1][-_WATCHED:]
            count = 1 if kind == "middle" else min(len(inner), random.randint(2, 5))
            _spoil(random, objects, project, random.sample(inner, min(count, len(inner))), how)
        case "all entries":
            _spoil(random, objects, project, seqs, how)
        case "roster lost" | "roster spoiled":
            how = "deleted" if kind == "roster lost" else "replaced"
            number = Seq(random.randint(2, _members(objects)))
            if how == "deleted":
                del objects[roster_key(number)]
            else:
                objects[roster_key(number)] = b"nobody is a member"
        case "rolled back":
            how = "as it was"
            _clear(objects)
            objects.update(earlier)
        case _:
            how = "deleted"
            _clear(objects)
    return Loss(
        kind,
        how,
        tuple(s for s in seqs if _differs(before, objects, journal_key(project, s))),
        tuple(
            Seq(n)
            for n in range(1, _members(before) + 1)
            if _differs(before, objects, roster_key(Seq(n)))
        ),
    )


def _clear(objects: dict[str, bytes]) -> None:
    """Delete all but blocks: nobody can name them from entries alone, so none is put back."""
    for key in [key for key in objects if kind_of(key) != "block"]:
        del objects[key]


def _numbers(objects: Mapping[str, bytes], project: ProjectId) -> list[Seq]:
    folder = f"{journal_prefix(project)}/"
    return sorted(Seq(int(key[-16:])) for key in objects if key.startswith(folder))


def _members(objects: Mapping[str, bytes]) -> int:
    number = 0
    while roster_key(Seq(number + 1)) in objects:
        number += 1
    return number


def _differs(one: Mapping[str, bytes], other: Mapping[str, bytes], key: str) -> bool:
    return one.get(key) != other.get(key)


def _spoil(
    random: Random, objects: dict[str, bytes], project: ProjectId, seqs: list[Seq], how: str
) -> None:
    for seq in seqs:
        key = journal_key(project, seq)
        body = objects[key]
        match how:
            case "deleted":
                del objects[key]
            case "replaced":
                objects[key] = b"not an entry of anybody"
            case "cut":
                objects[key] = body[:100]
            case _:
                place = random.randrange(HEADER_SIZE, len(body))
                flipped = bytes([body[place] ^ (1 << random.randrange(8))])
                objects[key] = body[:place] + flipped + body[place + 1 :]
