"""A real S3 store behind a network that loses, cuts, delays and damages."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from bucket_fault_proxy import FaultProxy, refuse
from lab.hostile import Answer, ClaimMore, Cut, FlipSent, ForgetRange, Hang, Late, LoseAnswer
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.node.bucket.bucket import Bucket
from lucidnode.node.bucket.errors import Unsettled
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.bucket.open_bucket import prepare_bucket
from lucidnode.node.bucket.retrying import RetryingBucket
from lucidnode.node.bucket.session import credential_source
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, Corrupt, NotThere, Refused, Unavailable
from lucidnode.node.journal.register import Committed, Lost, SlotContent, Unknown, commit

KEY = "p/0123/journal/0000000000000001"
CLOCK = SystemClock()

_number = itertools.count()


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    with running_seaweed() as server:
        asyncio.run(
            prepare_bucket(
                server.address("faults"),
                credential_source(server.owner, Network()),
                Network(),
                create=True,
            )
        )
        yield server


@dataclass
class Site:
    """The same folder of one store, reached directly and through the proxy."""

    direct: Bucket
    faulty: Bucket
    hasty: Bucket
    """The faulty one for who waits half a second for an answer, where none comes."""
    proxy: FaultProxy

    async def commit(self, body: bytes, seconds: float = 30) -> Committed | Lost | Unknown:
        end = CLOCK.boot() + seconds
        return await commit(self.faulty, KEY, body, CLOCK, end, lambda: 0.5)


@pytest.fixture
async def site(seaweed: Seaweed) -> AsyncIterator[Site]:
    address = seaweed.address("faults", f"studio/{next(_number)}")
    credentials = credential_source(seaweed.owner, Network())
    proxy = FaultProxy(seaweed.endpoint)
    async with proxy.running(address) as through:
        yield Site(
            ObjectBucket(address, credentials, Network(), SystemClock()),
            ObjectBucket(through, credentials, Network(), SystemClock()),
            ObjectBucket(through, credentials, Network(), SystemClock(), answer_s=0.5),
            proxy,
        )


def a_body() -> bytes:
    return secrets.token_bytes(300)


# -- create and the register ---------------------------------------------------------------------


async def test_a_create_whose_answer_is_lost_is_unsettled_and_was_sent_once(site: Site) -> None:
    body = a_body()
    site.proxy.next("PUT", LoseAnswer())
    with pytest.raises(Unsettled):
        await site.faulty.create(KEY, body)
    assert site.proxy.requests == ["PUT"]
    assert await site.direct.get(KEY) == body


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(409, "ConditionalRequestConflict"),
        refuse(404, "NoSuchBucket"),
        refuse(404),
        refuse(429, "TooManyRequests"),
        refuse(500, "InternalError"),
        refuse(503, "SlowDown"),
    ],
)
async def test_nothing_but_a_failed_precondition_says_that_a_name_is_taken(
    site: Site, refusal: Answer
) -> None:
    site.proxy.next("PUT", refusal)
    with pytest.raises(Unsettled):
        await site.faulty.create(KEY, a_body())
    assert site.proxy.requests == ["PUT"]
    with pytest.raises(NotThere):
        await site.direct.get(KEY)
    site.proxy.next("PUT", refusal)
    assert await site.commit(body := a_body()) == Committed()
    assert await site.direct.get(KEY) == body


async def test_refused_rights_are_told_from_an_unsettled_create(site: Site) -> None:
    site.proxy.next("PUT", refuse(403, "AccessDenied"), refuse(501, "NotImplemented"))
    with pytest.raises(AccessDenied):
        await site.faulty.create(KEY, a_body())
    with pytest.raises(Refused):
        await site.faulty.create(KEY, a_body())


async def test_a_commit_whose_answer_is_lost_is_committed_exactly_once(site: Site) -> None:
    body = a_body()
    site.proxy.next("PUT", LoseAnswer())
    assert await site.commit(body) == Committed()
    assert site.proxy.requests == ["PUT", "GET"]
    assert await site.direct.get(KEY) == body


async def test_a_commit_that_another_won_meanwhile_is_lost_with_the_winners_body(
    site: Site,
) -> None:
    winner = a_body()
    await site.direct.create(KEY, winner)
    site.proxy.next("PUT", LoseAnswer())
    assert await site.commit(a_body()) == Lost(SlotContent.of(winner))
    assert await site.commit(a_body()) == Lost(SlotContent.of(winner))


async def test_a_commit_is_unknown_when_nobody_can_be_asked_and_settled_when_asked_again(
    site: Site,
) -> None:
    body = a_body()
    site.proxy.next("PUT", LoseAnswer())
    site.proxy.next("GET", refuse(503, "SlowDown"))
    outcome = await site.commit(body, seconds=0)
    assert isinstance(outcome, Unknown)
    assert isinstance(outcome.cause, Unavailable)
    assert await site.commit(body) == Committed()


async def test_a_create_that_lands_late_is_recognised_as_our_own(site: Site) -> None:
    body = a_body()
    site.proxy.next("PUT", Late(60))
    assert isinstance(await site.commit(body, seconds=0), Unknown)
    with pytest.raises(NotThere):
        await site.direct.get(KEY)
    await site.proxy.land()
    assert await site.commit(body) == Committed()


async def test_a_create_that_lands_after_another_won_changes_nothing(site: Site) -> None:
    body, winner = a_body(), a_body()
    site.proxy.next("PUT", Late(60))
    assert isinstance(await site.commit(body, seconds=0), Unknown)
    await site.direct.create(KEY, winner)
    await site.proxy.land()
    assert await site.direct.get(KEY) == winner
    assert await site.commit(body) == Lost(SlotContent.of(winner))


async def test_racing_commits_through_lost_answers_have_one_winner(site: Site) -> None:
    bodies = [a_body() for _ in range(4)]
    site.proxy.next("PUT", LoseAnswer(), LoseAnswer(), refuse(409), refuse(503))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(site.commit(body)) for body in bodies]
    there = await site.direct.get(KEY)
    for body, task in zip(bodies, tasks, strict=True):
        assert task.result() == (Committed() if body == there else Lost(SlotContent.of(there)))


# -- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal", [refuse(503, "SlowDown"), refuse(500), refuse(404, "NoSuchBucket"), refuse(404)]
)
async def test_only_the_stores_own_word_makes_an_object_absent(site: Site, refusal: Answer) -> None:
    await site.direct.put(KEY, b"here")
    site.proxy.next("GET", refusal, refusal)
    with pytest.raises(Unavailable):
        await site.faulty.get(KEY)
    with pytest.raises(Unavailable):
        await site.faulty.size(KEY)
    assert await site.faulty.get(KEY) == b"here"


async def test_a_body_cut_on_its_way_is_never_handed_out_short(site: Site) -> None:
    await site.direct.put(KEY, body := secrets.token_bytes(100_000))
    site.proxy.next("GET", Cut(50_000), Cut(0), Cut(500))
    for span in (None, None, (1_000, 60_000)):
        with pytest.raises(Unavailable):
            await site.faulty.get(KEY, span)
    assert await site.faulty.get(KEY) == body


async def test_all_of_an_object_is_not_taken_for_the_part_asked_for(site: Site) -> None:
    await site.direct.put(KEY, b"0123456789")
    site.proxy.next("GET", ForgetRange())
    with pytest.raises((Unavailable, Corrupt)):
        await site.faulty.get(KEY, (3, 5))


async def test_an_answer_shorter_than_it_claims_is_never_handed_out(site: Site) -> None:
    await site.direct.put(KEY, b"0123456789")
    site.proxy.next("GET", ClaimMore())
    with pytest.raises(Unavailable, match="short"):
        await site.faulty.get(KEY, (3, 7))
    assert await site.faulty.get(KEY, (3, 7)) == b"3456"


async def test_a_store_that_never_answers_costs_its_deadline_and_no_more(site: Site) -> None:
    site.proxy.next("GET", Hang(), Hang())
    site.proxy.next("PUT", Hang(), Hang())
    start = CLOCK.boot()
    with pytest.raises(Unavailable):
        await site.hasty.get(KEY)
    with pytest.raises(Unavailable):
        await site.hasty.list("p")
    with pytest.raises(Unavailable):
        await site.hasty.put(KEY, b"x")
    with pytest.raises(Unsettled):
        await site.hasty.create(KEY, b"x")
    assert CLOCK.boot() - start < 40


async def test_refusals_of_good_credentials_are_named_and_pass(site: Site) -> None:
    await site.direct.put(KEY, b"here")
    for code, words in [
        ("ExpiredToken", "the session token has expired"),
        ("RequestTimeTooSkewed", "the clock of this machine"),
        ("AccessDenied", "no right"),
    ]:
        site.proxy.next("GET", refuse(403, code))
        with pytest.raises(AccessDenied, match=words):
            await site.faulty.get(KEY)
    site.proxy.next("GET", refuse(400, "ExpiredToken"))
    with pytest.raises(AccessDenied):
        await site.faulty.get(KEY)
    assert await site.faulty.get(KEY) == b"here"


# -- writing -------------------------------------------------------------------------------------


async def test_the_store_refuses_a_body_damaged_on_its_way(site: Site) -> None:
    site.proxy.next("PUT", FlipSent(), FlipSent())
    with pytest.raises(Unavailable):
        await site.faulty.put(KEY, b"x" * 1000)
    with pytest.raises(Unsettled):
        await site.faulty.create(KEY, b"x" * 1000)
    with pytest.raises(NotThere):
        await site.direct.get(KEY)


async def test_an_object_of_any_size_is_one_request_and_never_parts(site: Site) -> None:
    body = secrets.token_bytes(6 * 1024 * 1024)
    await site.faulty.put(KEY, body)
    assert await site.faulty.get(KEY) == body
    assert site.proxy.requests == ["PUT", "GET"]


async def test_a_full_bucket_is_unavailable_and_no_matter_of_rights(site: Site) -> None:
    site.proxy.next("PUT", refuse(403, "QuotaExceeded"), refuse(507))
    for _ in range(2):
        with pytest.raises(Unavailable, match="full") as error:
            await site.faulty.put(KEY, b"x")
        assert not isinstance(error.value, AccessDenied)


async def test_a_missing_bucket_takes_no_write_and_is_no_absence(site: Site) -> None:
    site.proxy.next("PUT", refuse(404, "NoSuchBucket"), refuse(404, "NoSuchKey"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await site.faulty.put(KEY, b"x")


# -- retries -------------------------------------------------------------------------------------


async def test_what_passes_is_retried_and_every_try_is_a_request(site: Site) -> None:
    patient = RetryingBucket(site.faulty, CLOCK, lambda: 0.0, patience_s=30)
    site.proxy.next("PUT", refuse(503, "SlowDown"), LoseAnswer(), FlipSent())
    await patient.put(KEY, b"here")
    assert site.proxy.requests == ["PUT"] * 4
    site.proxy.next("GET", refuse(500), Cut(2))
    assert await patient.get(KEY) == b"here"
    assert site.proxy.requests == ["PUT"] * 4 + ["GET"] * 3
    hasty = RetryingBucket(site.hasty, CLOCK, lambda: 0.0, patience_s=30)
    site.proxy.next("GET", Hang())
    assert await hasty.get(KEY) == b"here"
    assert site.proxy.requests[7:9] == ["GET"] * 2
