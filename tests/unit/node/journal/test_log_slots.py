"""Laws of a log of names that can be written once: no decision for good on one look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from blake3 import blake3

from lucidnode.node.bucket.bucket import MAX_OBJECT_BYTES, Listed
from lucidnode.node.bucket.fingerprint import START, oversize_fingerprint
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.errors import NotThere, Unavailable
from lucidnode.node.client.ids import Seq
from lucidnode.node.journal.log_names import LogNames
from lucidnode.node.journal.log_slots import AGAIN_S, FRESH_S, LASTING_S, LogSlots, Unchained
from lucidnode.node.journal.object_shape import ObjectShape
from lucidnode.node.journal.register import Committed, Lost, SlotContent, Unknown

PAGE = b"<html><title>Welcome to our hotel</title></html>"


class PatientClock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 1000.0

    def boot(self) -> float:
        return self.now

    def wall_ns(self) -> int:
        return int(self.now * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def key(seq: Seq) -> str:
    return f"log/{seq:016d}"


def shape_of(seq: Seq, body: bytes) -> ObjectShape:
    if not body.startswith(b"LOG "):
        return ObjectShape.DAMAGED if body.startswith(b"LO") else ObjectShape.FOREIGN
    return ObjectShape.ENTRY if body.startswith(b"LOG %d " % seq) else ObjectShape.ASTRAY


class GatewayBucket(MemoryBucket):
    """Something on the way answers the next reads in the place of the store."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[Callable[[bytes | None], bytes]] = []
        self.requests = 0
        self.longest = 0
        self.loses_at_create = ""

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        self.requests += 1
        await asyncio.sleep(0)
        if self.gets:
            return self.gets.pop(0)(self.objects.get(key))
        body = await super().get(key, span)
        self.longest = max(self.longest, len(body))
        return body

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        self.requests += 1
        return await super().list(prefix, after, limit)

    async def create(self, key: str, body: bytes) -> None:
        self.requests += 1
        await super().create(key, body)
        self.objects.pop(self.loses_at_create, None)


class Scene:
    def __init__(self) -> None:
        self.bucket = GatewayBucket()
        self.clock = PatientClock()
        self.alerts = Alerts(self.clock)
        self.is_witnessed = False
        self.slots = LogSlots(
            bucket=self.bucket,
            names=LogNames("log", key, "log entry", "log-answers"),
            shape_of=shape_of,
            alerts=self.alerts,
            clock=self.clock,
            jitter=lambda: 0.5,
            is_witnessed=self._is_witnessed,
        )

    async def _is_witnessed(self) -> bool:
        return self.is_witnessed

    def write(self, *numbers: int) -> None:
        for number in numbers:
            self.bucket.objects[key(Seq(number))] = self.body(number)

    @staticmethod
    def body(number: int) -> bytes:
        return b"LOG %d entry" % number

    def fits(self, number: int) -> Callable[[bytes], bool]:
        return blake3(self.body(number)).digest().__eq__

    async def take(self, number: int) -> object:
        deadline = self.clock.now + 60
        return await self.slots.take(
            Seq(number), self.body(number), self.fits(number - 1), deadline
        )

    def topics(self) -> list[str]:
        return [alert.topic for alert in self.alerts.current()]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def page(_there: bytes | None) -> bytes:
    return PAGE


def flipped(there: bytes | None) -> bytes:
    assert there is not None
    return bytes([there[0] ^ 1]) + there[1:]


# -- reading -------------------------------------------------------------------------------------


async def test_a_page_in_the_place_of_an_answer_is_no_answer(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.bucket.gets = [page] * 2
    with pytest.raises(Unavailable, match="answers in its place"):
        await scene.slots.read(Seq(1))
    assert scene.topics() == ["log-answers"]
    scene.clock.now += 1
    with pytest.raises(NotThere):
        await scene.slots.read(Seq(1))
    assert scene.topics() == []


async def test_a_log_that_something_else_answers_for_is_asked_at_a_bounded_rate(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.bucket.gets = [page] * 100_000
    end = scene.clock.now + 60
    while scene.clock.now < end:
        with pytest.raises(Unavailable):
            await scene.slots.read(Seq(1))
        scene.clock.now += 0.001
    assert scene.bucket.requests <= 60


async def test_a_proof_needs_two_reads_that_agree(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    scene.bucket.gets = [lambda b: b or b"", flipped]
    with pytest.raises(Unavailable):
        await scene.slots.prove(Seq(1))


async def test_a_foreign_object_is_one_only_once_it_is_proven_to_lie_there(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    scene.bucket.objects[key(Seq(1))] = PAGE
    before = scene.clock.now
    assert await scene.slots.read(Seq(1)) == SlotContent(blake3(PAGE).digest(), None)
    assert scene.clock.now - before >= AGAIN_S, "the two reads lie apart"
    assert scene.topics() == ["log-answers:foreign"]
    requests = scene.bucket.requests
    await scene.slots.read(Seq(1))
    assert scene.bucket.requests == requests + 1, "seen again, and proven once"


async def test_a_page_of_another_size_than_the_listed_one_is_no_answer(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    scene.bucket.gets = [page] * 2
    with pytest.raises(Unavailable):
        await scene.slots.read(Seq(1))
    scene.clock.now += 1
    assert await scene.slots.read(Seq(1)) == SlotContent.of(scene.body(1))


async def test_a_store_that_swaps_its_answers_proves_nothing(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """Entries are padded, so that the listing shows the same size for all of them."""
    expected_warnings.append("answers in its place")
    scene.write(1, 2, 3)
    await scene.slots.read(Seq(1))
    await scene.slots.read(Seq(2))
    scene.bucket.gets = [lambda _: scene.body(1)] * 3 + [lambda _: scene.body(3)] * 3
    with pytest.raises(Unavailable):
        await scene.slots.read(Seq(3))
    scene.bucket.gets = []
    scene.clock.now += 10
    assert await scene.slots.read(Seq(3)) == SlotContent.of(scene.body(3))


async def test_a_foreign_object_among_entries_is_one(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    scene.write(1)
    await scene.slots.read(Seq(1))
    scene.bucket.objects[key(Seq(2))] = PAGE
    assert await scene.slots.read(Seq(2)) == SlotContent(blake3(PAGE).digest(), None)


async def test_an_entry_of_another_number_must_last_before_it_counts_as_lying_there(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """Else whoever copies an old entry into the next slot would stop the log for ever."""
    expected_warnings += ["mixes its answers up", "counts as empty"]
    scene.write(1, 2)
    scene.bucket.objects[key(Seq(3))] = scene.body(1)
    begun = scene.clock.now
    while scene.clock.now - begun < LASTING_S:
        for look in (scene.slots.read, scene.slots.prove):
            with pytest.raises(Unavailable):
                await look(Seq(3))
        assert scene.slots.is_in_doubt
        scene.clock.now += 10
        await scene.slots.read(Seq(2))
    assert await scene.slots.read(Seq(3)) == SlotContent(blake3(scene.body(1)).digest(), None)


async def test_an_entry_of_another_number_proves_nothing_while_others_are_mixed_up_as_well(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("mixes its answers up")
    scene.write(1, 2)
    await scene.slots.read(Seq(2))
    for number in (1, 2, 3):
        scene.bucket.objects[key(Seq(number))] = scene.body(number % 3 + 1)
    end = scene.clock.now + 3600
    while scene.clock.now < end:
        with pytest.raises(Unavailable):
            await scene.slots.prove(Seq(3))
        scene.clock.now += 10
    scene.write(1, 2, 3)
    assert await scene.slots.read(Seq(3)) == SlotContent.of(scene.body(3))


@pytest.mark.parametrize(
    ("garbled", "body"), [(b"LOG 2 garble", b"LOG 2 garble"), (b"LOC 2 entry", None)]
)
async def test_an_entry_that_nobody_made_must_last_before_it_counts_as_lying_there(
    scene: Scene, garbled: bytes, body: bytes | None, expected_warnings: list[str]
) -> None:
    """What garbles answers the same way each time passes for the bucket until it is over."""
    expected_warnings += ["answers in its place", *(["counts as empty"] if body is None else [])]
    scene.write(1, 2)
    sound = scene.body(2).__eq__
    scene.bucket.objects[key(Seq(2))] = garbled
    begun = scene.clock.now
    while scene.clock.now - begun < LASTING_S:
        with pytest.raises(Unavailable):
            await scene.slots.prove(Seq(2), sound)
        scene.clock.now += 10
    held = await scene.slots.prove(Seq(2), sound)
    assert held == SlotContent(blake3(garbled).digest(), body)


async def test_the_time_that_a_damaged_entry_must_last_begins_anew_once_another_was_seen(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    sound = scene.body(2).__eq__
    for body in (b"LOG 2 one", b"LOG 2 two", scene.body(2), b"LOG 2 two"):
        scene.bucket.objects[key(Seq(2))] = body
        if sound(body):
            assert await scene.slots.prove(Seq(2), sound) == SlotContent.of(body)
        else:
            with pytest.raises(Unavailable):
                await scene.slots.prove(Seq(2), sound)
        scene.clock.now += LASTING_S


async def test_foreign_objects_are_one_alert_with_their_number_and_places(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    for number in (3, 5, 4, 9):
        scene.bucket.objects[key(Seq(number))] = PAGE
        await scene.slots.read(Seq(number))
    (alert,) = scene.alerts.current()
    assert "in the place of 4 numbers from 3 to 9," in alert.cause


async def in_doubt(scene: Scene, *numbers: int) -> None:
    """Have *numbers* of a log of nine entries counted as empty."""
    scene.write(*range(1, 10))
    await scene.slots.read(Seq(9))
    for number in numbers:
        scene.bucket.objects[key(Seq(number))] = PAGE
        assert (await scene.slots.read(Seq(number))).body is None


def places(scene: Scene) -> str:
    return " ".join(alert.cause for alert in scene.alerts.current())


@pytest.mark.parametrize("reads", ["read", "prove", "stands"])
async def test_the_alert_about_foreign_objects_ends_with_the_last_whoever_sees_it_go(
    scene: Scene, reads: str, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    await in_doubt(scene, 2, 5, 7)
    scene.write(2, 5, 7)
    for number, left in ((5, "2 numbers from 2 to 7,"), (2, "of number 7,"), (7, "")):
        if reads == "stands":
            assert await scene.slots.stands(Seq(number), scene.fits(number))
        else:
            await getattr(scene.slots, reads)(Seq(number))
        assert left in places(scene)
    assert scene.topics() == []


async def test_foreign_objects_are_looked_at_again_in_turn_until_the_entries_are_back(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    await in_doubt(scene, 2, 5, 7, 8)
    for _ in range(8):
        before = scene.bucket.requests
        await scene.slots.look_at_foreign()
        assert scene.bucket.requests == before + 1
    assert "4 numbers from 2 to 8," in places(scene)
    scene.write(2, 5)
    del scene.bucket.objects[key(Seq(8))]
    for _ in range(4):
        await scene.slots.look_at_foreign()
    assert "of number 7," in places(scene), "what is gone is lost, and not foreign"
    scene.write(7)
    await scene.slots.look_at_foreign()
    assert scene.topics() == []
    before = scene.bucket.requests
    await scene.slots.look_at_foreign()
    assert scene.bucket.requests == before


async def test_foreign_objects_from_the_first_slot_on_stop_nobody(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    for number in range(1, 8):
        scene.bucket.objects[key(Seq(number))] = b"garbage %d" % number
    for number in range(1, 8):
        assert (await scene.slots.read(Seq(number))).body is None


async def test_a_store_that_shows_one_entry_for_all_proves_nothing_while_that_lasts(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1, 2)
    await scene.slots.read(Seq(1))
    scene.bucket.gets = [lambda _: scene.body(1)] * 4  # slot 1 is right, whoever asks
    with pytest.raises(Unavailable):
        await scene.slots.read(Seq(2))


async def test_slots_that_show_what_they_hold_only_afterwards_prove_nothing(
    scene: Scene, expected_warnings: list[str]
) -> None:
    """While the bytes in doubt were read twice, something else answered for every slot."""
    expected_warnings.append("answers in its place")
    scene.write(1, 2, 3)
    await scene.slots.read(Seq(1))
    await scene.slots.read(Seq(2))
    there = b"?" + scene.body(3)[1:]
    scene.bucket.gets = [lambda _: there, lambda _: there, page, page, lambda _: there]
    with pytest.raises(Unavailable):
        await scene.slots.prove(Seq(3))


async def test_an_oversize_object_is_foreign_and_is_never_held_whole(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    large = bytes(MAX_OBJECT_BYTES + 1)
    scene.bucket.objects[key(Seq(1))] = large
    assert await scene.slots.read(Seq(1)) == SlotContent(
        oversize_fingerprint(len(large), large[:START]).hash, None
    )
    assert scene.bucket.longest < MAX_OBJECT_BYTES


async def test_that_nothing_is_there_is_proven_too(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")

    def gone(_there: bytes | None) -> bytes:
        raise NotThere("no such page")

    scene.write(1)
    scene.bucket.gets = [gone] * 2
    with pytest.raises(Unavailable):  # the listing shows it
        await scene.slots.prove(Seq(1))
    scene.clock.now += 1
    with pytest.raises(NotThere):
        await scene.slots.prove(Seq(2))


# -- standing ------------------------------------------------------------------------------------


async def test_a_slot_stands_if_it_holds_what_it_held(scene: Scene) -> None:
    scene.write(1)
    assert await scene.slots.stands(Seq(0), lambda _: False)
    assert await scene.slots.stands(Seq(1), scene.fits(1))
    assert not await scene.slots.stands(Seq(1), scene.fits(2))
    assert not await scene.slots.stands(Seq(2), scene.fits(2))


async def test_one_wrong_look_does_not_make_a_slot_fall(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    scene.bucket.gets = [flipped]
    assert await scene.slots.stands(Seq(1), scene.fits(1))
    scene.clock.now += FRESH_S
    scene.bucket.gets = [page, page, page]
    with pytest.raises(Unavailable):
        await scene.slots.stands(Seq(1), scene.fits(1))


# -- taking --------------------------------------------------------------------------------------


async def test_a_slot_is_taken_on_top_of_the_one_before(scene: Scene) -> None:
    for number in (1, 2, 3):
        assert await scene.take(number) == Committed()
    assert await scene.take(3) == Committed(), "the same again is the same"


async def test_no_slot_is_taken_on_top_of_one_that_is_gone(scene: Scene) -> None:
    assert await scene.take(2) == Unchained(Seq(1))
    scene.bucket.objects[key(Seq(1))] = b"LOG 1 of another history"
    assert await scene.take(2) == Unchained(Seq(1))
    assert key(Seq(2)) not in scene.bucket.objects


async def test_a_slot_whose_predecessor_vanishes_meanwhile_does_not_count(scene: Scene) -> None:
    scene.write(1)
    scene.bucket.loses_at_create = key(Seq(1))
    assert await scene.take(2) == Unchained(Seq(1))


async def test_while_the_one_before_cannot_be_seen_nothing_is_taken(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    scene.bucket.gets = [page] * 3
    assert isinstance(await scene.take(2), Unknown)
    assert key(Seq(2)) not in scene.bucket.objects


async def test_a_create_that_only_a_gateway_acknowledged_does_not_count(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1)
    scene.bucket.loses_at_create = key(Seq(2))
    assert isinstance(await scene.take(2), Unknown)


async def test_a_slot_that_another_took_is_lost_to_what_lies_there(scene: Scene) -> None:
    scene.write(1)
    theirs = b"LOG 2 of theirs"
    scene.bucket.objects[key(Seq(2))] = theirs
    assert await scene.take(2) == Lost(SlotContent.of(theirs))


async def test_a_taken_slot_that_shows_a_page_is_not_lost_to_the_page(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("answers in its place")
    scene.write(1, 2)
    theirs = scene.bucket.objects[key(Seq(2))] = b"LOG 2 of theirs"
    scene.bucket.gets = [lambda b: b or b"", page, page, page]
    assert await scene.take(2) == Lost(SlotContent.of(theirs))


async def test_commits_in_a_row_read_each_entry_once(scene: Scene) -> None:
    await scene.take(1)
    requests = scene.bucket.requests
    for number in range(2, 12):
        assert await scene.take(number) == Committed()
    assert scene.bucket.requests - requests == 2 * 10, "a create and one read of what is below"


async def test_a_log_of_which_all_is_spoiled_is_believed_if_a_witness_shows_the_bucket(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings += ["answers in its place", "counts as empty"]
    for number in (1, 2, 3):
        scene.bucket.objects[key(Seq(number))] = PAGE
    with pytest.raises(Unavailable):
        await scene.slots.prove(Seq(3))
    scene.clock.now += 60
    scene.is_witnessed = True
    assert (await scene.slots.prove(Seq(3))).body is None


async def test_what_was_put_back_over_a_foreign_object_is_read(
    scene: Scene, expected_warnings: list[str]
) -> None:
    expected_warnings.append("counts as empty")
    scene.write(1)
    await scene.slots.read(Seq(1))
    scene.bucket.objects[key(Seq(2))] = PAGE
    assert (await scene.slots.read(Seq(2))).body is None
    scene.write(2)
    assert await scene.slots.read(Seq(2)) == SlotContent.of(scene.body(2))
