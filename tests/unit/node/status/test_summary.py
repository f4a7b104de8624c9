"""What a workstation says of itself to its colleagues."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.client.alerts import Alert
from lucidnode.node.peers.messages import MAX_SUMMARY_SOURCES, decode, encode
from lucidnode.node.status.summary import DRIVE, node_summary


def alert(topic: str) -> Alert:
    return Alert(topic, "The file reel 4/secret.mov cannot be read.", "", 1_790_000_000 * 10**9, 1)


def test_alerts_are_told_by_kind_and_beginning_alone() -> None:
    said = node_summary(
        up_s=61.5,
        cache=(1, 2, 3),
        waiting=(4, 5.5),
        drives=1,
        alerts=[alert("cache-disk"), alert("block:ab12"), alert("block:cd34"), alert("block+")],
        drives_amiss=True,
        sources={"a" * 32: 7, "b" * 32: 0},
        page=(8441, b"p" * 32),
    )
    assert said.alerts == {DRIVE: 0, "cache-disk": 1_790_000_000, "block": 1_790_000_000}
    assert said.sources == {"a" * 32: 7}
    assert (said.up_s, said.cache_bytes, said.cache_limit, said.disk_free) == (61, 1, 2, 3)
    assert (said.waiting_bytes, said.waiting_s, said.drives) == (4, 5, 1)
    assert (said.page_port, said.page_pin) == (8441, b"p" * 32)
    assert b"secret" not in encode(said)


def test_of_many_sources_those_that_gave_most_are_told() -> None:
    sources = {f"{n:032x}": n for n in range(200)}
    said = node_summary(
        up_s=0, cache=(0, 0, 0), waiting=(0, 0), drives=0, alerts=[], drives_amiss=False, sources=sources,
        page=(0, b""),
    )  # fmt: skip
    assert len(said.sources) == MAX_SUMMARY_SOURCES
    assert min(said.sources.values()) == 200 - MAX_SUMMARY_SOURCES


@given(
    st.lists(st.text(max_size=60), max_size=40),
    st.integers(-(2**62), 2**62),
    st.floats(-1e15, 1e15),
)
def test_whatever_is_amiss_it_can_be_sent(topics: list[str], size: int, seconds: float) -> None:
    said = node_summary(
        up_s=seconds,
        cache=(size, size, size),
        waiting=(size, seconds),
        drives=3,
        alerts=map(alert, topics),
        drives_amiss=False,
        sources={},
        page=(0, b""),
    )
    assert decode(encode(said)) == said
