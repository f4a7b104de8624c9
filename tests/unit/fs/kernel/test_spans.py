"""What programs ask of a mount is counted, and told to who follows; to nobody else."""

from __future__ import annotations

import asyncio
import errno

import pytest

from lucidnode.cli.log import line_of
from lucidnode.cli.stats import between
from lucidnode.fs.channel.device import AnsweredRead
from lucidnode.fs.kernel.spans import MAX_HELD, MAX_TOLD, Span, Spans
from lucidnode.node.client import mount_messages
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.mounts import Mount, MountTable
from lucidnode.node.status.metrics import Metrics

PROJECT = ProjectId("c" * 32)


class Seconds:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Seconds:
    return Seconds()


@pytest.fixture
def requests(now: Seconds) -> Spans:
    return Spans(now, lambda: 5, lambda ino: f"folder/{ino}")


def _one(requests: Spans, now: Seconds, span: Span, seconds: float, error: int = 0) -> None:
    span.began = now.at
    now.at += seconds
    requests.ended(span, error)


def test_each_request_is_counted_with_its_time_and_its_outcome(
    requests: Spans, now: Seconds
) -> None:
    _one(requests, now, Span("read"), 0.002)
    _one(requests, now, Span("read"), 40.0, errno.EIO)
    _one(requests, now, Span("lookup"), 0.00005, errno.ENOENT)
    times = requests.times()
    assert times.keys() == {"read", "lookup"}
    read = times["read"]
    assert read.seconds == pytest.approx(40.002)
    assert read.failed == 1
    assert sum(read.counts) == 2
    assert read.counts[mount_messages.REQUEST_BUCKETS_S.index(0.003)] == 1
    assert read.counts[-1] == 1
    assert times["lookup"].counts[0] == 1


def test_reads_of_the_kernel_channel_are_counted_one_by_one_and_told_in_runs(
    requests: Spans,
) -> None:
    requests.opened(7, 3, 4711)
    requests.follow(names=False)
    requests.answered(
        [
            AnsweredRead(7, 0, 3000, block=1, requests=3, nanoseconds=6_000_000),
            AnsweredRead(7, 9000, 500, block=1, requests=1, nanoseconds=2_000_000),
            AnsweredRead(7, 9500, 500, block=2, requests=0, nanoseconds=0),
        ]
    )
    read = requests.times()["read"]
    assert read.counts[mount_messages.REQUEST_BUCKETS_S.index(0.003)] == sum(read.counts) == 4
    assert read.seconds == pytest.approx(0.008)
    told = requests.take()
    assert told is not None
    assert [(each.ino, each.pid, each.offset, each.size) for each in told.requests] == [
        (3, 4711, 0, 3000),
        (3, 4711, 9000, 1000),
    ]


def test_nothing_is_kept_while_nobody_follows(requests: Spans, now: Seconds) -> None:
    _one(requests, now, Span("read"), 0.1)
    assert requests.take() is None
    requests.follow(names=False)
    _one(requests, now, Span("write"), 0.1)
    requests.ignore()
    assert requests.take() is None


def test_what_follows_is_told_without_names_unless_they_are_wanted(
    requests: Spans, now: Seconds
) -> None:
    requests.follow(names=False)
    span = Span("lookup", 7, name=b"secret", pid=12)
    _one(requests, now, span, 0.25, errno.ENOENT)
    told = requests.take()
    assert told is not None
    assert told.requests == [
        mount_messages.AccessedFile(5, "lookup", 7, 0, 0, 0, 12, errno.ENOENT, 0.25, "")
    ]
    requests.follow(names=True)
    _one(requests, now, span, 0.25)
    told = requests.take()
    assert told is not None
    assert told.requests[0].name == "folder/7/secret"


def test_a_request_on_a_handle_is_about_its_file_and_from_who_opened_it(
    requests: Spans, now: Seconds
) -> None:
    requests.follow(names=False)
    requests.opened(3, 9, 77)
    _one(requests, now, Span("read", handle=3, offset=4096, size=10), 0.1)
    requests.released(3)
    _one(requests, now, Span("read", handle=3), 0.1)
    told = requests.take()
    assert told is not None
    assert [(each.ino, each.pid) for each in told.requests] == [(9, 77), (0, 0)]
    assert (told.requests[0].offset, told.requests[0].size) == (4096, 10)


def test_of_more_than_can_be_kept_the_number_is_told(requests: Spans, now: Seconds) -> None:
    requests.follow(names=False)
    for _ in range(MAX_HELD + 3):
        _one(requests, now, Span("read"), 0.0)
    told = requests.take()
    assert told is not None
    assert (len(told.requests), told.left_out) == (MAX_TOLD, 3)
    told = requests.take()
    assert told is not None
    assert told.left_out == 0


def test_a_line_says_who_asked_for_what_and_how_it_ended() -> None:
    request = mount_messages.AccessedFile(0, "read", 7, 3, 0, 4096, 42, errno.EIO, 0.5, 'a "b"\n')
    line = line_of(request)
    assert line.endswith(
        '[pid:42] read (ino=7, fh=3, offset=0, size=4096, name="a \\"b\\"\\n"): EIO <0.500000>'
    )
    assert "\n" not in line


def _stats(*counts: int, seconds: float = 1.0) -> mount_messages.MountStats:
    padded = [*counts, *[0] * (len(mount_messages.REQUEST_BUCKETS_S) + 1 - len(counts))]
    return mount_messages.MountStats(
        requests={"read": mount_messages.RequestTimes(seconds, 1, padded)}, written=5
    )


def test_the_metrics_have_all_mounts_past_ones_too() -> None:
    mounts, metrics = MountTable(), Metrics()
    metrics.watch_requests(lambda: mounts.totals().requests)
    for stats in (_stats(2, 3), _stats(0, 4)):
        mount = Mount(PROJECT, mount_messages.MountHello(mountpoint="/m", pid=1, head=0))
        mounts.add(mount)
        mount.heard(stats)
        mounts.remove(mount)
    assert mounts.totals().written == 10
    text = metrics.text().decode()
    for line in (
        'lucidnode_request_seconds_bucket{le="0.0001",operation="read"} 2.0',
        'lucidnode_request_seconds_bucket{le="0.0003",operation="read"} 9.0',
        'lucidnode_request_seconds_bucket{le="+Inf",operation="read"} 9.0',
        'lucidnode_request_seconds_count{operation="read"} 9.0',
        'lucidnode_request_seconds_sum{operation="read"} 2.0',
        'lucidnode_request_failures_total{operation="read"} 2.0',
    ):
        assert line in text


async def test_a_mount_tells_only_while_somebody_follows_and_names_only_to_who_wants_them() -> None:
    mount = Mount(PROJECT, mount_messages.MountHello(mountpoint="/m", pid=1, head=0))
    named = mount_messages.Accesses(
        [mount_messages.AccessedFile(0, "read", 1, 0, 0, 0, 0, 0, 0.0, "secret")], 0
    )
    with mount.followed(names=False) as plain:
        assert await mount.outbox.get() == mount_messages.Follow(names=False)
        with mount.followed(names=True) as other:
            assert await mount.outbox.get() == mount_messages.Follow(names=True)
            mount.heard(named)
            assert await other.take(1.0) == named
            told = await plain.take(1.0)
            assert told is not None
            assert [each.name for each in told.requests] == [""]
        assert await mount.outbox.get() == mount_messages.Follow(names=False)
        mount.ended()
        assert plain.over.is_set()
        assert await plain.take(0.0) is None
    assert await mount.outbox.get() == mount_messages.Ignore()


async def test_who_follows_too_slowly_hears_how_much_he_missed() -> None:
    mount = Mount(PROJECT, mount_messages.MountHello(mountpoint="/m", pid=1, head=0))
    told = mount_messages.Accesses(
        [mount_messages.AccessedFile(0, "read", 1, 0, 0, 0, 0, 0, 0.0, "")] * 2, 1
    )
    with mount.followed(names=False) as follower:
        for _ in range(300):
            mount.heard(told)
        heard = 0
        while (message := await follower.take(0.0)) is not None:
            assert message.left_out == 1
            heard += 1
        mount.heard(told)
        last = await follower.take(0.0)
        assert last is not None
        assert last.left_out == 1 + 3 * (300 - heard)
    await asyncio.sleep(0)


def test_statistics_are_what_went_on_between_two_looks() -> None:
    totals = dict.fromkeys(
        (
            *("read_memory", "read_cache", "read_peer", "read_bucket", "read_unsent"),
            *("written", "uploaded", "downloaded", "served"),
        ),
        0,
    )
    before = {"at": 10.0, **totals, "waiting": 0, "buckets_s": [0.1, 1.0], "operations": {}}
    reads = {"requests": 4, "failed": 1, "seconds": 2.0, "within": [3, 4]}
    middle = {
        **before,
        "at": 12.0,
        "read_cache": 100,
        "read_peer": 50,
        "waiting": 9,
        "operations": {"read": reads},
    }
    found = between(before, middle)
    assert (found["requests_per_second"], found["failed_per_second"]) == (2.0, 0.5)
    assert (found["ms"], found["waiting"]) == (500.0, 9)
    rates = found["bytes_per_second"]
    assert (rates["read"], rates["cache"], rates["peers"], rates["written"]) == (75, 50, 25, 0)
    assert found["operations"]["read"]["p99_ms_at_most"] == 1000.0
    assert between(middle, {**middle, "at": 13.0})["operations"] == {}
    anew = {
        **before,
        "at": 15.0,
        "read_cache": 10,
        "operations": {"read": {**reads, "requests": 1}},
    }
    assert between(middle, anew)["bytes_per_second"]["cache"] == 3
    assert between(middle, anew)["operations"]["read"]["requests"] == 1
