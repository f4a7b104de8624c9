"""What a project says of itself is read strictly: anything else says nothing."""

from __future__ import annotations

import msgspec
import pytest

from lucidnode.fs.format.project_facts import (
    LISTED_BLOCKS,
    CollectedUpTo,
    Condemned,
    RekeyProgress,
    Retention,
    collected_in,
    condemned_in,
    encoded_fact,
    list_name,
    listed,
    rekey_progress_in,
    retention_in,
)
from lucidnode.node.client.ids import BlockId, DeviceId, Seq

NAME = list_name(Seq(12), 3)
IDS = [BlockId(bytes([number]) * 32) for number in (3, 1, 2)]
LIST = Condemned(12, 5, 0, listed(IDS))


def test_the_bytes_of_each_fact_are_those_of_the_format() -> None:
    assert NAME == b"user.lucid.condemned.0000000000000012.000003"
    assert encoded_fact(Retention(30)).hex() == "81a4646179731e"
    assert encoded_fact(CollectedUpTo(7)).hex() == "81a373657107"
    head = "84a37365710ca777616c6c5f6e7305a866696e616c5f6e7300a3696473c460"
    assert encoded_fact(LIST).hex() == head + "01" * 32 + "02" * 32 + "03" * 32


def test_how_far_a_project_is_sealed_anew_is_read_strictly() -> None:
    said = RekeyProgress(DeviceId("ab" * 16), 3, 5, 7, 4096)
    value = encoded_fact(said)
    assert value.hex() == (
        "85a6646576696365d920" + "6162" * 16 + "a565706f636803a777616c6c5f6e7305"
        "a6626c6f636b7307a56279746573cd1000"
    )
    assert rekey_progress_in(value) == said
    replace = msgspec.structs.replace
    for false in (
        replace(said, device=DeviceId("AB" * 16)),
        replace(said, epoch=0),
        replace(said, epoch=2**32),
        replace(said, wall_ns=0),
        replace(said, blocks=-1),
        replace(said, bytes=2**63),
    ):
        assert rekey_progress_in(encoded_fact(false)) is None
    assert rekey_progress_in(value + b"\0") is None
    assert rekey_progress_in(None) is None


def test_what_was_said_is_read() -> None:
    assert retention_in(encoded_fact(Retention(90))) == Retention(90)
    assert collected_in(encoded_fact(CollectedUpTo(7))) == 7
    assert condemned_in(NAME, encoded_fact(LIST)) == LIST
    assert list(LIST.blocks()) == sorted(IDS)
    assert retention_in(None) is None
    assert collected_in(None) == 0


@pytest.mark.parametrize("days", [0, 29, 36_501, 2**70, -30])
def test_a_retention_that_nobody_may_set_says_nothing(days: int) -> None:
    assert retention_in(_packed({"days": days})) is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        encoded_fact(Retention(30)) + b"\0",
        encoded_fact(LIST)[:-1],
        encoded_fact(Condemned(12, 5, 0, b"")),
        encoded_fact(Condemned(12, 5, 0, b"\1" * 33)),
        encoded_fact(Condemned(12, 5, 0, b"\2" * 32 + b"\1" * 32)),
        encoded_fact(Condemned(12, 5, 0, b"\1" * 64)),
        encoded_fact(Condemned(-1, 5, 0, b"\1" * 32)),
        encoded_fact(Condemned(2**53, 5, 0, b"\1" * 32)),
        encoded_fact(Condemned(12, -5, 0, b"\1" * 32)),
        encoded_fact(Condemned(12, 2**63, 0, b"\1" * 32)),
        encoded_fact(Condemned(12, 5, -1, b"\1" * 32)),
        encoded_fact(
            Condemned(
                12, 5, 0, listed(BlockId(n.to_bytes(32, "big")) for n in range(LISTED_BLOCKS + 1))
            )
        ),
    ],
)
def test_a_value_of_another_form_says_nothing(value: bytes) -> None:
    assert condemned_in(NAME, value) is None
    assert retention_in(value) in (None, Retention(30))
    assert collected_in(value) == 0


@pytest.mark.parametrize(
    "name",
    [
        b"user.lucid.condemned.",
        b"user.lucid.condemned.12.3",
        NAME + b"0",
        NAME.replace(b"12", b"1\xb2"),
    ],
)
def test_a_list_under_another_name_is_none(name: bytes) -> None:
    assert condemned_in(name, encoded_fact(LIST)) is None


def test_fields_that_nobody_knows_and_other_encodings_say_nothing() -> None:
    assert retention_in(_packed({"days": 30, "more": 1})) is None
    assert retention_in(b"\x81\xa4days\xcc\x1e") is None


def _packed(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b"\x81\xa4days\xcf" + b"\xff" * 8
