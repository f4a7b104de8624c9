"""A workstation of a project that is collected: it keeps the rules that mounts keep.

What it seals anew is not on a list, and no entry of it names what is final.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from lab.collected_project import DAY_NS, PROMISED_NS, CollectedProject, Entry, LostBlock, State
from lucidnode.fs.format.project_facts import COLLECTED, STANDS_LONGER_NS, collected_in
from lucidnode.node.client.ids import BlockId


@dataclass
class Pending:
    """A file that *name* is to lie in: sealed, perhaps uploaded, perhaps still here."""

    name: str
    content: int
    block: BlockId
    is_uploaded: bool = False
    is_here: bool = True


def sealed(content: int, number: int) -> BlockId:
    """Return block *number* of a content: the first is its own."""
    return BlockId(hashlib.sha256(f"{content} {number}".encode()).digest())


class CollectedWriter:
    """A workstation that saves, copies, restores and deletes, and is away at times."""

    def __init__(self, project: CollectedProject, name: str) -> None:
        self.project = project
        self.name = name
        self.state = State()
        self.pending: list[Pending] = []
        self.away_until_ns = 0
        self.caught_up_ns = project.now_ns
        self.known: frozenset[BlockId] = frozenset()
        """The pieces of the newest checkpoint that it knows to be true."""
        self.making: tuple[int, frozenset[BlockId], int] | None = None
        """A checkpoint: at which entry, of which pieces, and since when."""

    def check(self) -> None:
        """Raise LostBlock unless what waits here is in the bucket, if it is nowhere else."""
        if self.project.now_ns - self.caught_up_ns <= PROMISED_NS:
            uploaded = {p.block for p in self.pending if p.is_uploaded and not p.is_here}
            self.project.must_have(uploaded, f"work of {self.name} that waits")

    def step(self) -> None:
        project, chance = self.project, self.project.chance
        if chance.random() < 0.3:
            self._save()
        if project.now_ns < self.away_until_ns:
            return
        if chance.random() < 0.2:
            self._make_checkpoint()
        what = chance.random()
        if what < 0.01:
            self.away_until_ns = (
                project.now_ns + chance.choice([chance.randint(1, 45), 120]) * DAY_NS
            )
        elif what < 0.35:
            self._upload()
        elif what < 0.45:
            self._forget_a_copy()
        elif what < 0.6:
            self._follow()
        elif what < 0.7:
            self._delete()
        elif what < 0.75:
            self._share()
        else:
            self._commit()

    def _follow(self) -> None:
        for entry in self.project.log[self.state.seq :]:
            self.state.apply(entry)
        was_away_ns = self.project.now_ns - self.caught_up_ns
        self.caught_up_ns = self.project.now_ns
        old = {
            block
            for each in self.state.lists().values()
            if each.is_final or self.project.now_ns - each.wall_ns >= STANDS_LONGER_NS
            for block in each.blocks()
        }
        for waiting in [each for each in self.pending if each.block in old]:
            self._seal_anew(waiting, was_away_ns)

    def _make_checkpoint(self) -> None:
        """Stage pieces beside those that are known; the manifest follows, unless it takes a day."""
        if self.making is not None:
            seq, pieces, began_ns = self.making
            self.making = None
            if self.project.now_ns - began_ns < DAY_NS:
                self.known = self.project.checkpoints.setdefault(seq, pieces)
                self.project.happened["checkpoints made"] += 1
            return
        self._follow()
        if self.known & self._on_list():
            self.project.happened["checkpoints of pieces that are listed"] += 1
            self.known = frozenset()
        if len(self.known) > 8 or self.project.chance.random() < 0.2:
            self.known = frozenset()  # a new base
        piece = self._seal(1000 + self.project.chance.randrange(40))
        self.project.bucket.add(piece)
        self.making = self.state.seq, self.known | {piece}, self.project.now_ns

    def _seal(self, content: int) -> BlockId:
        on_list = self._on_list()
        number = 0
        while sealed(content, number) in on_list:
            number += 1
        return sealed(content, number)

    def _on_list(self) -> set[BlockId]:
        return {block for each in self.state.lists().values() for block in each.blocks()}

    def _save(self) -> None:
        content = self.project.chance.randrange(12)  # few: the same is saved again and again
        name = f"f{self.project.chance.randrange(6)}"
        self.pending.append(Pending(name, content, self._seal(content)))

    def _upload(self) -> None:
        for each in self.pending:
            if not each.is_uploaded:
                self.project.bucket.add(each.block)
                each.is_uploaded = True
                return

    def _forget_a_copy(self) -> None:
        """Evict what was uploaded: from then on the bucket has the only copy."""
        for each in self.pending:
            if each.is_uploaded:
                each.is_here = False

    def _delete(self) -> None:
        self._follow()
        if self.state.files:
            name = self.project.chance.choice(sorted(self.state.files))
            self.project.add(self.state.seq + 1, Entry({name: None}, {}))

    def _share(self) -> None:
        """Give a file the block of another, or one of the past, that is still whole."""
        self._follow()
        oldest = collected_in(self.state.facts.get(COLLECTED))
        seq = self.project.chance.randint(min(oldest, self.state.seq), self.state.seq)
        blocks = sorted(self.project.past[seq][1])
        if blocks:
            block = self.project.chance.choice(blocks)
            name = f"f{self.project.chance.randrange(6)}"
            self.project.add(self.state.seq + 1, Entry({name: block}, {}))

    def _commit(self) -> None:
        self._follow()
        files: dict[str, BlockId | None] = {}
        while self.pending and self.pending[0].is_uploaded:
            each = self.pending.pop(0)
            files[each.name] = each.block
        if files:
            self.project.add(self.state.seq + 1, Entry(files, {}))

    def _seal_anew(self, each: Pending, was_away_ns: int) -> None:
        if not each.is_here and each.block not in self.project.bucket:
            if was_away_ns <= PROMISED_NS:
                raise LostBlock(f"work of {self.name}, which was not away for long")
            self.project.happened["works lost by who was away too long"] += 1
            self.pending.remove(each)
            return
        self.project.happened["works sealed anew"] += 1
        each.block = self._seal(each.content)
        each.is_uploaded, each.is_here = False, True
