"""All that can happen to one lease of two or three nodes, within small bounds: an exhaustive explorer.

The rules are those of docs/design/0012-leases.md, written once more as small as they go: one lease, a log
whose slots are created if absent, nodes whose clocks drift, that stand still, die and come back, PUTs
that arrive late and answers that never come, and messages that ask the holder for it: each may come at any
later moment, more than once, after its author's death, or never. `explore` visits every state that can be reached and
raises Broken, with the shortest way there, for the first that breaks a promise.

Time is counted in ticks since something happened and capped where more makes no difference, so the
number of states is finite whatever the run is like.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

NEVER = -1
"""Ticks since something that has not happened."""


class Broken(Exception):
    """A promise does not hold; the text is the way to it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the nodes keep to. The defaults are the design's; tests break them one by one."""

    ttl: int = 3
    """Ticks after which others may take the lease of a node that made no entry."""
    margin: int = 2
    """Ticks by which the holder stops sooner: more than two clocks drift apart in one TTL."""
    counts_from_the_sending: bool = True
    """The holder's time begins when it sent the entry; or when it learned that it was created."""
    stops_while_giving: bool = True
    """The lease is not used from when the entry that gives it away is sent."""
    flushes_before_giving: bool = True
    """What was done under the lease is committed before the lease goes."""
    forgets_when_dead: bool = True
    """A node that comes back uses nothing until an entry of this life renewed it."""
    counts_from_the_asking: bool = True
    """Who was given the lease counts from when it asked, if that is what the giving entry answers, or from its
    own newest entry; or from when it read the giving one."""
    counts_from_the_giving: bool = True
    """Others count from when they read the entry that gave it to its holder, or one of his later; or only his."""
    judges_by_the_log: bool = True
    """An entry is for the state before it: what was done under a lease that is gone is a conflict."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may happen."""

    nodes: int = 2
    entries: int = 4
    works: int = 2
    """Things that each node does under the lease."""
    drifts: int = 1
    """Ticks by which each clock may go wrong against the others."""
    deaths: int = 1
    askings: int = 1
    """Messages that each node sends."""


Kind = Literal["take", "give", "work", "renew"]


class Entry(NamedTuple):
    """One slot of the log. *works* of its author are in it, under *fence*, or laid aside as conflicts."""

    author: int
    kind: Kind
    holder: int
    """Who has the lease after it."""
    fence: int
    """How often the lease had changed hands when this entry was made."""
    works: int
    conflicts: int
    asked: int = 0
    """Which message of the new holder it answers; 0: none."""


class Put(NamedTuple):
    """An entry under way to the slot behind *slot* entries. *age*: ticks of its author since it was sent."""

    slot: int
    entry: Entry
    age: int


class NodeState(NamedTuple):
    """What one node knows."""

    applied: int
    """Entries read."""
    age: int
    """Ticks since the newest entry of this node was sent, or the message that was answered; or NEVER."""
    heard: int
    """Ticks since the newest entry of the present holder was read, or the one that made it that."""
    put: Put | None
    pending: int
    """Things done under the lease, acknowledged, in no entry that this node has read."""
    pending_fence: int
    done: int
    drift: int
    deaths: int
    asking: int
    """Messages sent, in all lives."""
    asked: int
    """Ticks since the newest of this life was sent, or NEVER."""


class Step(NamedTuple):
    """Something that can happen.

    *node*: whose step it is, None for time. *kind*: arrive, read, work, ask, send, die, tick,

    or slow and fast: a tick in which a clock goes wrong.
    """

    kind: str
    node: int | None
    name: str


class World(NamedTuple):
    """Everything."""

    log: tuple[Entry, ...]
    nodes: tuple[NodeState, ...]


_NOBODY = -1
_NEW = NodeState(0, NEVER, 0, None, 0, 0, 0, 0, 0, 0, NEVER)
_EMPTY = Entry(_NOBODY, "give", _NOBODY, 0, 0, 0)


class Model:
    """Steps of one world, by the rules."""

    def __init__(self, rules: Rules, bounds: Bounds) -> None:
        self.rules = rules
        self.bounds = bounds

    def first(self) -> World:
        return World((), (_NEW,) * self.bounds.nodes)

    # -- what a node knows ---------------------------------------------------------------------

    def seen(self, world: World, node: NodeState) -> Entry:
        """Return the newest entry that *node* has read."""
        return world.log[node.applied - 1] if node.applied else _EMPTY

    def may_use(self, world: World, number: int) -> bool:
        """Tell whether the node would do something under the lease now."""
        node = world.nodes[number]
        if node.age == NEVER:
            return False
        if self.seen(world, node).holder != number:
            return False
        giving = node.put is not None and node.put.entry.kind == "give"
        if self.rules.stops_while_giving and giving:
            return False
        return node.age < self.rules.ttl - self.rules.margin

    # -- what can happen -----------------------------------------------------------------------

    def steps(self, world: World) -> Iterator[tuple[Step, World]]:
        """Yield all that can happen next, each with its name."""
        yield from self._ticks(world)
        for number, node in enumerate(world.nodes):
            if node.put is not None:
                yield from self._arrives(world, number, node, node.put)
            yield from self._reads(world, number, node)
            yield from self._works(world, number, node)
            yield from self._asks(world, number, node)
            if node.put is None and len(world.log) < self.bounds.entries:
                yield from self._sends(world, number, node)
            if node.deaths < self.bounds.deaths:
                dies = Step("die", number, f"{number} dies and comes back")
                yield dies, self._with(world, number, self._reborn(node))

    def _ticks(self, world: World) -> Iterator[tuple[Step, World]]:
        later = tuple(self._later(node, 1) for node in world.nodes)
        yield Step("tick", None, "tick"), world._replace(nodes=later)
        for number, node in enumerate(world.nodes):
            if node.drift >= self.bounds.drifts:
                continue
            drifted = node._replace(drift=node.drift + 1)
            for name, ticks in (("slow", 0), ("fast", 2)):
                nodes = [self._later(each, 1) for each in world.nodes]
                nodes[number] = self._later(drifted, ticks)
                tick = Step(name, number, f"tick, {name} at {number}")
                yield tick, world._replace(nodes=tuple(nodes))

    def _later(self, node: NodeState, ticks: int) -> NodeState:
        over = self.rules.ttl - self.rules.margin  # more makes no difference
        age = node.age if node.age == NEVER else min(over, node.age + ticks)
        asked = node.asked if node.asked == NEVER else min(over, node.asked + ticks)
        put = node.put and node.put._replace(age=min(over, node.put.age + ticks))
        heard = min(self.rules.ttl, node.heard + ticks)
        return node._replace(age=age, asked=asked, heard=heard, put=put)

    def _arrives(
        self, world: World, number: int, node: NodeState, put: Put
    ) -> Iterator[tuple[Step, World]]:
        """Let a PUT take its slot if that is free: also of a node that died meanwhile, or asks again."""
        if len(world.log) == put.slot:
            created = Step("arrive", number, f"{put.entry.kind} of {number} is created")
            yield created, world._replace(log=(*world.log, put.entry))

    def _reads(self, world: World, number: int, node: NodeState) -> Iterator[tuple[Step, World]]:
        if node.applied == len(world.log):
            return
        entry = world.log[node.applied]
        before = self.seen(world, node)
        read = node._replace(applied=node.applied + 1)
        put = node.put
        if put is not None and put.slot == node.applied:
            if entry == put.entry and entry.author == number:
                age = put.age if self.rules.counts_from_the_sending else 0
                pending = read.pending - entry.works - entry.conflicts
                read = read._replace(put=None, pending=pending, age=age)
            else:
                read = read._replace(put=None)  # another has the slot
        elif entry.kind == "give" and entry.holder == number:
            read = read._replace(age=self._age_when_given(node, entry))
        given = entry.kind == "give" and self.rules.counts_from_the_giving
        if entry.author == entry.holder or (given and entry.holder != before.holder):
            read = read._replace(heard=0)
        reads = Step("read", number, f"{number} reads {node.applied + 1}")
        yield reads, self._with(world, number, read)

    def _age_when_given(self, node: NodeState, entry: Entry) -> int:
        """Return since when *node* counts for the lease that *entry* gives it."""
        if not self.rules.counts_from_the_asking:
            return 0
        is_answer = entry.asked != 0 and entry.asked == node.asking
        known = {node.age, node.asked if is_answer else NEVER} - {NEVER}
        return min(known, default=NEVER)

    def _asks(self, world: World, number: int, node: NodeState) -> Iterator[tuple[Step, World]]:
        """Let a node that does not have the lease send a message to who has."""
        holder = self.seen(world, node).holder
        if node.asking < self.bounds.askings and holder not in {number, _NOBODY}:
            asked = node._replace(asking=node.asking + 1, asked=0)
            yield Step("ask", number, f"{number} asks"), self._with(world, number, asked)

    def _works(self, world: World, number: int, node: NodeState) -> Iterator[tuple[Step, World]]:
        fence = self.seen(world, node).fence
        if node.done >= self.bounds.works or not self.may_use(world, number):
            return
        if node.pending and node.pending_fence != fence:
            return
        done = node._replace(pending=node.pending + 1, pending_fence=fence, done=node.done + 1)
        yield Step("work", number, f"{number} works"), self._with(world, number, done)

    def _sends(self, world: World, number: int, node: NodeState) -> Iterator[tuple[Step, World]]:
        before = self.seen(world, node)
        mine = before.holder == number
        good, bad = node.pending, 0
        if self.rules.judges_by_the_log and not (mine and before.fence == node.pending_fence):
            good, bad = 0, node.pending
        kept = Entry(number, "work", before.holder, before.fence, good, bad)
        if node.pending:
            yield Step("send", number, f"{number} sends its work"), self._sent(world, number, kept)
        if mine:
            yield (
                Step("send", number, f"{number} renews"),
                self._sent(world, number, kept._replace(kind="renew")),
            )
            if self.rules.flushes_before_giving or not node.pending:
                given = kept
            else:
                given = kept._replace(works=0, conflicts=0)
            gifts = [
                (to, asked)
                for to in range(self.bounds.nodes)
                if to != number
                for asked in _heard_of(world.nodes[to])
            ]
            for to, asked in gifts:
                entry = given._replace(kind="give", holder=to, fence=before.fence + 1, asked=asked)
                yield (
                    Step("send", number, f"{number} gives to {to} who asked {asked}"),
                    self._sent(world, number, entry),
                )
        elif before.holder == _NOBODY or node.heard >= self.rules.ttl:
            entry = kept._replace(kind="take", holder=number, fence=before.fence + 1)
            yield Step("send", number, f"{number} takes"), self._sent(world, number, entry)

    def _sent(self, world: World, number: int, entry: Entry) -> World:
        node = world.nodes[number]
        return self._with(world, number, node._replace(put=Put(node.applied, entry, 0)))

    def _reborn(self, node: NodeState) -> NodeState:
        """Keep what is on the disk: entries read, work acknowledged, the entry under way.

        One that stays dead does nothing, as one that stands still: that is among all the others.
        """
        age, asked, put = node.age, node.asked, node.put
        if self.rules.forgets_when_dead:
            age = asked = NEVER
            put = put and put._replace(age=self.rules.ttl - self.rules.margin)
        else:
            age = 0 if age != NEVER else NEVER  # its clock began anew
        return node._replace(age=age, asked=asked, put=put, heard=0, deaths=node.deaths + 1)

    def _with(self, world: World, number: int, node: NodeState) -> World:
        if self.seen(world, node).holder == number:
            node = node._replace(heard=0)  # nobody asks for it: fewer states
        nodes = list(world.nodes)
        nodes[number] = node
        return world._replace(nodes=tuple(nodes))

    # -- what must hold --------------------------------------------------------------------------

    def fault(self, world: World) -> str | None:
        """Return which promise *world* breaks."""
        users = [number for number in range(len(world.nodes)) if self.may_use(world, number)]
        if len(users) > 1:
            return f"{users} use the lease at once"
        holder, fence = _NOBODY, 0
        taken = [_NOBODY]
        for seq, entry in enumerate(world.log, 1):
            if entry.works and (entry.author != holder or entry.fence not in {fence, fence + 1}):
                return f"entry {seq} has work of one who does not hold the lease"
            if entry.conflicts and not self._was_broken(world.log[:seq], entry.author):
                return f"entry {seq} lays work aside, and nobody took the lease from its author"
            holder, fence = entry.holder, entry.fence
            taken.append(holder)
        for number, node in enumerate(world.nodes):
            in_log = sum(e.works + e.conflicts for e in world.log if e.author == number)
            on_the_way = in_log - sum(
                e.works + e.conflicts for e in world.log[: node.applied] if e.author == number
            )
            if in_log - on_the_way + node.pending != node.done:
                return f"work that {number} acknowledged is nowhere, or there twice"
        return None

    def _was_broken(self, log: tuple[Entry, ...], author: int) -> bool:
        """Tell whether another has taken the lease from *author*, who did not give it."""
        before = _EMPTY
        for entry in log:
            if entry.kind == "take" and before.holder == author and entry.author != author:
                return True
            before = entry
        return False


def _heard_of(node: NodeState) -> set[int]:
    """Return which of its messages an entry may answer: none, the newest, or the one before it."""
    return {0, node.asking, max(0, node.asking - 1)}


def explore(rules: Rules, bounds: Bounds) -> int:
    """Visit every state, and return how many there are. Raises Broken with the shortest way to a fault."""
    model = Model(rules, bounds)
    first = model.first()
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    line = deque([first])
    while line:
        world = line.popleft()
        for step, following in model.steps(world):
            if following in came_from:
                continue
            came_from[following] = (world, step.name)
            if (fault := model.fault(following)) is not None:
                raise Broken(f"{fault}: " + "; ".join(_way(came_from, following)))
            line.append(following)
    return len(came_from)


def _way(came_from: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    names = []
    while (step := came_from[world]) is not None:
        world, name = step
        names.append(name)
    return names[::-1]


def holders(rules: Rules, bounds: Bounds) -> set[tuple[int, ...]]:
    """Return every order in which nodes can come to hold the lease: that it moves at all."""
    model = Model(rules, bounds)
    seen = {model.first()}
    line = deque(seen)
    found: set[tuple[int, ...]] = set()
    while line:
        world = line.popleft()
        found.add(tuple(e.holder for e in world.log if e.kind in {"take", "give"}))
        for _, following in model.steps(world):
            if following not in seen:
                seen.add(following)
                line.append(following)
    return found
