"""Every verb before every kind of answer: no wrong result, an error of the right type and in words.

Rows are answers, byte by byte as a server or a thing before it sends them; columns are the verbs.
A cell that says nothing is the law: the store gave no answer that counts.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qs, quote_plus

import pytest
from blake3 import blake3
from raw_store import CLOSE, FOREVER, RawStore, Step, answer, bucket_at, error

from lucidnode.node.bucket import straight
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.errors import AlreadyThere, Oversize, Unreachable, Unsettled
from lucidnode.node.bucket.objects import ObjectBucket
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import (
    AccessDenied,
    Archived,
    Corrupt,
    NodeError,
    NotThere,
    Refused,
    Unavailable,
)

BLOCK = f"p/{'0f' * 16}/block/ab/{'ab' * 32}"
ENTRY = f"p/{'0f' * 16}/journal/0000000000000001"
MEMBER = "roster/0000000000000001"


async def checked_block(bucket: ObjectBucket) -> bytes:
    body, digest = await bucket.block(BLOCK)
    assert digest == blake3(body).digest()
    return bytes(body)


@pytest.fixture(autouse=True)
def short_bodies_go_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have blocks received as long ones are, however short: a `get` is received as ever."""
    monkeypatch.setattr(straight, "MIN_BYTES", 1)


VERBS: dict[str, Callable[[ObjectBucket], Awaitable[object]]] = {
    "get": lambda bucket: bucket.get(ENTRY),
    "block": checked_block,
    "part": lambda bucket: bucket.get(MEMBER, (0, 4)),
    "size": lambda bucket: bucket.size(MEMBER),
    "list": lambda bucket: bucket.list("p"),
    "put": lambda bucket: bucket.put(BLOCK, b"body"),
    "create": lambda bucket: bucket.create(ENTRY, b"body"),
    "delete": lambda bucket: bucket.delete(BLOCK),
}

Cells = Mapping[str, object]
"""What comes of each verb that is named: a result, or the type of an error."""

DONE = None
ETAG = 'ETag: "9a0364b9"'
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"

READS = ("get", "block", "part", "size", "list", "delete", "put")


def everywhere(kind: type[NodeError], **others: object) -> Cells:
    """Return a row in which every verb but a create raises *kind*."""
    return {**dict.fromkeys(READS, kind), **others}


ABSENT: Cells = {"get": NotThere, "block": NotThere, "part": NotThere, "size": None, "delete": DONE}
DENIED = everywhere(AccessDenied, create=AccessDenied)
WHOLE: Cells = {"get": b"four", "block": b"four"}
WRITTEN: Cells = {"put": DONE, "create": DONE}


async def outcome(call: Awaitable[object]) -> tuple[object, float]:
    begun = time.monotonic()
    try:
        return await call, time.monotonic() - begun
    except NodeError as error:
        return error, time.monotonic() - begun


def check(verb: str, found: object, cells: Cells) -> None:
    wanted = cells.get(verb, Unsettled if verb == "create" else Unavailable)
    if not isinstance(wanted, type):
        assert found == wanted, verb
        return
    # The law takes what is more exact of its own; a cell that names a type means that type.
    exact = verb in cells
    assert type(found) is wanted if exact else isinstance(found, wanted), (verb, found)
    if not exact:
        assert not isinstance(found, AccessDenied | Archived), (verb, found)
    if not isinstance(found, NotThere | Corrupt | AlreadyThere):
        words = str(found)
        assert re.fullmatch(r"[A-Z].+[^.]\.", words), words
        assert "studio" in words or "127.0.0.1" in words, words
        assert "secret" not in words.replace("the secret does not", ""), words


async def ask_all(
    always: Sequence[Step], cells: Cells, within_s: float = 20, answer_s: float = 60
) -> None:
    """Ask all verbs of a store that answers *always*; each answer is there *within_s*.

    That is far from what it takes, even on a busy machine, and from the deadline *answer_s*.
    """
    store = RawStore(always)
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint, answer_s)
        async with asyncio.TaskGroup() as group:
            asked = {verb: group.create_task(outcome(ask(bucket))) for verb, ask in VERBS.items()}
    for verb, task in asked.items():
        found, seconds = task.result()
        check(verb, found, cells)
        assert seconds < within_s, (verb, seconds)
    # A list may ask for a page more; nothing else is ever asked twice.
    assert len(store.heads) <= len(VERBS) + 1


# -- who answers is not, or not now, the store ---------------------------------------------------

STATUSES = [
    101, 200, 201, 202, 203, 205, 206, 207, 226,
    300, 301, 302, 303, 304, 305, 307, 308,
    400, 402, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499,
    500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 520, 522, 524, 529, 599, 999,
]  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
async def test_no_status_is_the_word_of_a_store_by_itself(status: int) -> None:
    for body in (b"", PAGE):
        deleted: Cells = {"delete": DONE} if status == 200 and not body else {}
        await ask_all([answer(str(status), body)], deleted)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_bare_refusal_of_access_is_one(status: int) -> None:
    await ask_all([answer(str(status), PAGE)], DENIED)


async def test_no_content_acknowledges_a_deletion_and_nothing_else() -> None:
    await ask_all([b"HTTP/1.1 204 No Content\r\n\r\n"], {"delete": DONE})


@pytest.mark.parametrize(
    "location", ["http://[oops/", "http://a\u2100b/", "//", "http://u:secret@h/", "\x7f", ""]
)
async def test_a_redirect_to_nonsense_is_a_redirect(location: str) -> None:
    await ask_all([answer("302 Found", headers=f"Location: {location}")], {})


# -- the store says no ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "cells"),
    [
        (404, "NoSuchKey", ABSENT),
        (403, "NoSuchKey", DENIED),
        (500, "NoSuchKey", {}),
        (404, "NoSuchBucket", {}),
        (404, "NoSuchUpload", {}),
        (412, "PreconditionFailed", {"create": AlreadyThere}),
        (409, "PreconditionFailed", {}),
        (412, "SlowDown", {}),
        (409, "ConditionalRequestConflict", {}),
        (409, "OperationAborted", {}),
        (501, "NotImplemented", {"create": Refused}),
        (501, "SlowDown", {}),
        (405, "MethodNotAllowed", {}),
        (400, "InvalidRequest", {}),
        (400, "BadDigest", {}),
        (400, "RequestTimeout", {}),
        (416, "InvalidRange", {"part": Corrupt}),
        (
            403,
            "InvalidObjectState",
            everywhere(Archived, list=Unavailable, put=Unavailable, delete=Unavailable),
        ),
        (403, "AccessDenied", DENIED),
        (403, "ExpiredToken", DENIED),
        (400, "ExpiredToken", DENIED),
        (403, "RequestTimeTooSkewed", DENIED),
        (403, "SignatureDoesNotMatch", DENIED),
        (403, "InvalidAccessKeyId", DENIED),
        (403, "QuotaExceeded", {}),
        (429, "TooManyRequests", {}),
        (500, "InternalError", {}),
        (503, "SlowDown", {}),
        (507, "InsufficientStorage", {}),
        (301, "PermanentRedirect", {}),
        (400, "AuthorizationHeaderMalformed", {}),
    ],
)
async def test_only_the_stores_own_code_settles_anything(
    status: int, code: str, cells: Cells
) -> None:
    await ask_all([answer(str(status), error(code))], cells)


@pytest.mark.parametrize("code", ["InternalError", "SlowDown", "NoSuchKey"])
async def test_a_write_that_is_acknowledged_and_then_refused_is_refused(code: str) -> None:
    async with RawStore([answer("200", error(code), ETAG)]).serving() as endpoint:
        bucket = bucket_at(endpoint)
        with pytest.raises(Unavailable):
            await bucket.put(BLOCK, b"body")
        with pytest.raises(Unsettled):
            await bucket.create(ENTRY, b"body")


# -- answers in bad form -------------------------------------------------------------------------

HEAD = f"HTTP/1.1 200 OK\r\n{ETAG}\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "cells"),
    [
        ([answer("200", b"four", ETAG)], {**WHOLE, **WRITTEN}),
        ([CHUNKED + b"4\r\nfour\r\n0\r\n\r\n"], {**WHOLE, **WRITTEN}),
        ([CHUNKED + b"2;x=y\r\nfo\r\n2\r\nur\r\n0\r\nX: y\r\n\r\n"], {**WHOLE, **WRITTEN}),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + answer("200", b"four", ETAG)], {**WHOLE, **WRITTEN}),
        ([b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + answer("200", b"four", ETAG)], {**WHOLE, **WRITTEN}),
        ([answer("200", b"", f"{ETAG}")], {"get": b"", "block": b"", "size": 0, "delete": DONE, **WRITTEN}),
        ([answer("206", b"four", f"{ETAG}\nContent-Range: bytes 0-3/9")], {"part": b"four", "size": 9}),
        ([answer("206", b"four", f"{ETAG}\nContent-Range: bytes 0-3/2")], {}),
        ([answer("206", b"", f"{ETAG}\nContent-Range: bytes 4-3/9")], {}),
        ([answer("206", b"four", f"{ETAG}\nContent-Range: bytes 0-3/*")], {}),
        ([answer("206", b"four", f"{ETAG}\nContent-Range: bytes 1-4/9")], {"size": 9}),
        ([answer("206", b"--q\r\n", f"{ETAG}\nContent-Type: multipart/byteranges; boundary=q")], {}),
        ([answer("416", b"", "Content-Range: bytes */0")], {"part": Corrupt, "size": 0}),
        ([answer("416", b"", "Content-Range: bytes */9")], {"part": Corrupt}),
        # Where it ends cannot be told: it may have been cut.
        ([HEAD + b"\r\nfour", CLOSE], WRITTEN),
        ([b"HTTP/1.0 200 OK\r\n" + ETAG.encode() + b"\r\n\r\nfou", CLOSE], WRITTEN),
        ([HEAD + b"Transfer-Encoding: identity\r\n\r\nfour", CLOSE], WRITTEN),
        # It was cut.
        ([HEAD + b"Content-Length: 9\r\n\r\nfour", CLOSE], {}),
        ([CHUNKED + b"4\r\nfour\r\n", CLOSE], {}),
        ([CHUNKED + b"4\r\nfour\r\n0\r\n", CLOSE], {}),
        ([HEAD[:-9], CLOSE], {}),
        ([CLOSE], {}),
        # Somebody on the way unpacked, packed or stamped it.
        ([answer("200", b"four", f"{ETAG}\nContent-Encoding: gzip")], {}),
        ([answer("200", b"four", f"{ETAG}\nContent-Encoding: identity\nContent-Encoding: gzip")], {}),
        ([HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n"], WRITTEN),
        # Lengths that contradict each other, or are none.
        ([HEAD + b"Content-Length: 4\r\nContent-Length: 3\r\n\r\nfour"], {}),
        ([HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n"], {}),
        ([HEAD + b"Content-Length: -4\r\n\r\nfour"], {}),
        ([HEAD + b"Content-Length: 4e0\r\n\r\nfour"], {}),
        ([HEAD + b"Content-Length: 99999999999999999999\r\n\r\nfour"], {}),
        ([CHUNKED + b"zz\r\nfour\r\n0\r\n\r\n"], {}),
        ([HEAD + b"Content-Length: 99999999999\r\n\r\nfour", CLOSE], {"get": Oversize, "block": Oversize}),
        # No HTTP.
        ([b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE], {}),
        ([b"\x15\x03\x01\x00\x02\x02\x46", CLOSE], {}),
        ([HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n"], {}),
        ([HEAD + b"X: y\0z\r\n\r\n"], {}),
        # Without end: what is bounded is bounded soon.
        ([HEAD, b"X: y\r\n" * 1000, FOREVER], {}),
        ([CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n", FOREVER], {}),
    ],
)  # fmt: skip
async def test_a_body_counts_only_if_it_is_whole_and_a_write_only_if_it_is_acknowledged(
    steps: list[Step], cells: Cells
) -> None:
    await ask_all(steps, cells)


@pytest.mark.parametrize(
    "steps",
    [
        [9.0],
        [HEAD, 9.0],
        [HEAD + b"Content-Length: 9\r\n\r\nfour", 9.0],
        [CHUNKED + b"4\r\nfour\r\n", 9.0],
        [CHUNKED, *[b"1\r\n.\r\n", 0.05] * 180],
        [b"HTTP/1.1 100 Continue\r\n\r\n", 0.02] * 400,
    ],
    ids=["silence", "half a head", "half a body", "half a chunk", "a trickle", "continue"],
)
async def test_who_goes_silent_trickles_or_never_comes_to_the_point_costs_the_deadline(
    steps: list[Step],
) -> None:
    # A whole object where a part was asked for is no answer, as soon as its head is there. The
    # store would go on for eight seconds or nine.
    await ask_all(steps, {"get": Unreachable, "block": Unreachable, "list": Unreachable}, 6, 0.3)


# -- listings ------------------------------------------------------------------------------------


def page(contents: str, more: str = "") -> bytes:
    return f"<ListBucketResult>{more}{contents}</ListBucketResult>".encode()


def entry(key: str, size: str = "1") -> str:
    return f"<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PAGE,
        error("InternalError"),
        page(entry("p/a"))[:-5],
        page(entry("p/a", "-1")),
        page(entry("p/a", "1e3")),
        page("<Contents><Size>1</Size></Contents>"),
        page(entry("q/a")),
        page(entry("p/b") + entry("p/a")),
        page("", "<IsTruncated>true</IsTruncated>"),
        page("".join(entry(f"p/{n:04}") for n in range(1001))),
        page("<a>" * 9 + "</a>" * 9),
        page("<a/>" * 60_000),
        page(f"<Name>{'n' * 20_000}</Name>"),
        b'<!DOCTYPE x [<!ENTITY a "b">]>' + page(entry("p/&a;")),
    ],
    ids=range(15),
)
async def test_a_listing_that_is_none_or_another_or_has_a_gap_is_no_listing(body: bytes) -> None:
    async with RawStore([answer("200", body)]).serving() as endpoint:
        with pytest.raises(Unavailable):
            await bucket_at(endpoint).list("p")


@pytest.mark.parametrize("name", ["a b", "a+b", "a%b", "ä", "//b", "/../a", "a&b", "\udcff", "😀"])
async def test_a_listing_goes_on_behind_the_oddest_name_of_others(name: str) -> None:
    url = "<EncodingType>url</EncodingType>"
    odd = entry(quote_plus(f"p/A{name}", safe="/", errors="surrogateescape"))
    store = RawStore()
    store.scripts.append([answer("200", page(odd, f"{url}<IsTruncated>true</IsTruncated>"))])
    store.scripts.append([answer("200", page(entry("p/z"), url))])
    async with store.serving() as endpoint:
        assert await bucket_at(endpoint).list("p") == [Listed("p/z", 1)]
    query = store.heads[1].split(b" ")[1].partition(b"?")[2].decode()
    assert parse_qs(query, errors="surrogateescape")["start-after"] == [f"p/A{name}"]


# -- connections ---------------------------------------------------------------------------------


def whole(body: bytes) -> bytes:
    return answer("200", body, ETAG)


@pytest.mark.parametrize(
    "unasked", [whole(b"evil"), b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"HTTP/1.1 200 O"]
)
async def test_what_nobody_asked_for_is_no_answer_to_what_is_asked_next(unasked: bytes) -> None:
    store = RawStore([whole(b"next")])
    store.scripts.append([whole(b"first"), 0.02, unasked])
    store.scripts.append([whole(b"second") + unasked])
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint)
        assert await bucket.get(ENTRY) == b"first"
        await store.has_answered(1)
        assert await bucket.get(ENTRY) == b"second"
        assert await bucket.get(ENTRY) == b"next"


async def test_a_connection_is_used_again_after_answers_that_were_read_to_their_end() -> None:
    store = RawStore()
    for each in (
        whole(b"four"),
        answer("404", error("NoSuchKey")),
        answer("412", error("PreconditionFailed")),
        answer("503", error("SlowDown")),
        answer("200", b"", ETAG),
    ):
        store.scripts.append([each])
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint)
        assert await bucket.get(ENTRY) == b"four"
        for kind in (NotThere, Unavailable, Unavailable):
            with pytest.raises(kind):
                await bucket.get(ENTRY)
        await bucket.put(BLOCK, b"body")
    assert store.connections == 1


class SetClock(SystemClock):
    """A clock that somebody sets: *began_s* is when the machine began, in seconds since 1970, as it says."""

    began_s = 0.0

    def boot(self) -> float:
        return 100.0

    def wall_ns(self) -> int:
        return int((self.began_s + self.boot()) * 1e9)


async def test_how_far_the_stores_clock_is_ahead_is_known_also_once_ours_was_set() -> None:
    clock = SetClock()
    store = RawStore([answer("200", b"four", ETAG + "\nDate: Thu, 01 Jan 1970 01:00:00 GMT")])
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint, clock=clock)
        await bucket.get(ENTRY)
        assert bucket.skew_s == 3500.0
        clock.began_s = 3400.0
        assert bucket.skew_s == 100.0


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "1 Jan 2026 00:00:00 +" + "9" * 20]
)
async def test_a_date_that_no_calendar_has_is_no_date(date: str) -> None:
    async with RawStore([answer("200", b"four", f"{ETAG}\nDate: {date}")]).serving() as endpoint:
        bucket = bucket_at(endpoint)
        assert await bucket.get(ENTRY) == b"four"
        assert bucket.skew_s is None


async def test_one_request_after_the_other_keeps_to_the_connection_that_was_used_last() -> None:
    store = RawStore([whole(b"four")])
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint)
        async with asyncio.TaskGroup() as together:
            for _ in range(3):
                together.create_task(bucket.get(ENTRY))
        for _ in range(3):
            await bucket.get(ENTRY)
    assert sorted(store.came_on[:3]) == [1, 2, 3]
    assert len(set(store.came_on[3:])) == 1


@pytest.mark.parametrize("verb", VERBS)
async def test_a_request_that_is_given_up_midway_takes_its_connection_along(verb: str) -> None:
    store = RawStore([whole(b"next")])
    body = b"x" * 100_000
    store.scripts.append([whole(body)[:50_000], 0.3, whole(body)[50_000:]])
    async with store.serving() as endpoint:
        bucket = bucket_at(endpoint)
        await store.gives_up_midway(VERBS[verb](bucket))
        assert await bucket.get(ENTRY) == b"next"
        assert store.connections == 2
        await store.has_open(1)  # the first was closed
        assert await bucket.get(ENTRY) == b"next"
        assert (store.connections, store.open) == (2, 1)


async def test_an_endpoint_may_be_an_ipv6_address_and_have_a_path_of_its_own() -> None:
    store = RawStore([whole(b"four")])
    async with store.serving("::1") as endpoint:
        assert await bucket_at(f"{endpoint}/a%20gate/way").get(ENTRY) == b"four"
    assert store.heads[0].startswith(f"GET /a%20gate/way/studio/{ENTRY} HTTP/1.1\r\n".encode())
    assert f"\r\nhost: {endpoint.removeprefix('http://')}\r\n".encode() in store.heads[0].lower()


async def test_a_store_that_does_not_say_how_long_an_empty_object_is_is_asked_for_all_of_it() -> (
    None
):
    """So does Ceph."""
    store = RawStore()
    store.scripts += [[answer("416", error("InvalidRange"))], [answer("200", b"", ETAG)]]
    async with store.serving() as endpoint:
        assert await bucket_at(endpoint).size(ENTRY) == 0
