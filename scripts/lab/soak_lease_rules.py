"""The rules of leases at random, far beyond the bounds within which every state was visited.

Two or three nodes stand still, are cut off, die and come back, with clocks that drift apart for ever by as
much as the margin allows. Never two that use the lease, nothing acknowledged is lost, and in the end each of
them can have it, whatever the others do. The rules are those of docs/design/0012-leases.md, as
tests/lease_model.py has them; the code itself is played by `leases` and `names`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from random import Random  # noqa: TID251  # seeded
from typing import Literal

from lease_model import Bounds, Model, Rules, Step, World

STEPS = 200

_WEATHER_STEPS = 40

RULES = Rules(ttl=10, margin=4)
"""A clock goes wrong by one tick in each of the windows below, so in one TTL by two, and two clocks by the margin."""

_WINDOW_TICKS = RULES.ttl
_BOUNDS = Bounds(entries=STEPS, works=STEPS, drifts=1, deaths=3, askings=STEPS)
_MORE = Bounds(entries=10 * STEPS, works=STEPS, drifts=0, deaths=0, askings=0)
_END_TICKS = 4 * RULES.ttl

_Weather = Literal["well", "frozen", "cut off"]
_TIME = {"tick", "slow", "fast"}
_REACHES: dict[_Weather, set[str]] = {
    "well": _TIME | {"arrive", "read", "work", "ask", "send", "die"},
    "cut off": _TIME | {"work", "ask", "send", "die"},
    "frozen": _TIME,
}
_WEIGHTS = {
    "arrive": 4.0,
    "read": 4.0,
    "work": 3.0,
    "ask": 1.0,
    "send": 1.0,
    "die": 0.05,
    "tick": 4.0,
}
_MUCH, _LITTLE = 6.0, 0.1


class Walk:
    """One way through the states of a model, chosen by *seed*."""

    def __init__(self, seed: int, rules: Rules = RULES) -> None:
        self.chance = Random(f"lease rules {seed}")
        self.nodes = self.chance.choice((2, 2, 3))
        self.slow = self.chance.randrange(self.nodes)
        """Whose clock is slow for the most part; the others' are fast."""
        self.rules = rules
        self.happened: Counter[str] = Counter()
        self.way: list[str] = []

    def play(self) -> None:
        """Walk, then let each have the lease in turn. Raises AssertionError."""
        model = self._model(_BOUNDS)
        world = model.first()
        weather: list[_Weather] = ["well"] * self.nodes
        ticks = 0
        for number in range(STEPS):
            if number % _WEATHER_STEPS == 0:
                weather = self.chance.choices(
                    ("well", "frozen", "cut off"), (2, 1, 1), k=self.nodes
                )
            step, world = self._chosen(model, world, weather)
            self._note(model, step, world)
            if step.kind in _TIME:
                ticks += 1
                if ticks % _WINDOW_TICKS == 0:
                    world = _with_clocks_that_drift_on(world)
        self._end(world)

    def _model(self, bounds: Bounds) -> Model:
        return Model(self.rules, dataclasses.replace(bounds, nodes=self.nodes))

    def _chosen(self, model: Model, world: World, weather: list[_Weather]) -> tuple[Step, World]:
        steps = [
            (step, following)
            for step, following in model.steps(world)
            if step.node is None or step.kind in _REACHES[weather[step.node]]
        ]
        return self.chance.choices(steps, [self._weight(step) for step, _ in steps])[0]

    def _weight(self, step: Step) -> float:
        if step.kind in {"slow", "fast"}:
            return _MUCH if (step.kind == "slow") == (step.node == self.slow) else _LITTLE
        return _WEIGHTS[step.kind]

    def _end(self, world: World) -> None:
        """Let one after the other have the lease while all others stand still: no lease is without an end."""
        model = self._model(_MORE)
        for number in self.chance.sample(range(self.nodes), self.nodes):
            for _ in range(_END_TICKS):
                world = self._alone(model, world, number)
                node = world.nodes[number]
                if model.may_use(world, number) and not node.pending and node.put is None:
                    break
                world = self._taken(model, world, None, "tick")
            else:
                raise AssertionError(f"{number} waits for ever: {'; '.join(self.way)}")

    def _alone(self, model: Model, world: World, number: int) -> World:
        """Have *number* do all that it can but to give the lease away."""
        while True:
            for kind in ("arrive", "read"):
                following = self._taken(model, world, number, kind)
                if following is not world:
                    break
            else:
                if model.may_use(world, number) and not world.nodes[number].pending:
                    return world
                following = self._taken(model, world, number, "send")
            if following is world:
                return world
            world = following

    def _taken(self, model: Model, world: World, node: int | None, kind: str) -> World:
        """Return the world after the last step of that kind but a gift, or *world* if there is none."""
        found = [
            (step, following)
            for step, following in model.steps(world)
            if step.node == node and step.kind == kind and " gives " not in step.name
        ]
        if not found:
            return world
        step, following = found[0] if kind == "tick" else found[-1]
        self._note(model, step, following)
        return following

    def _note(self, model: Model, step: Step, world: World) -> None:
        kind = step.name.partition(" ")[0] if step.kind == "arrive" else None
        self.happened[step.kind if kind is None else f"entry: {kind}"] += 1
        self.way.append(step.name)
        fault = model.fault(world)
        assert fault is None, f"{fault}: {'; '.join(self.way)}"


def _with_clocks_that_drift_on(world: World) -> World:
    return world._replace(nodes=tuple(node._replace(drift=0) for node in world.nodes))


def run_seed(seed: int) -> Counter[str]:
    """Play one seed; return what happened. Raises AssertionError."""
    walk = Walk(seed)
    walk.play()
    return walk.happened
