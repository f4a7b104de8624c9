"""One secret for each epoch of a project turns into unrelated keys for each purpose."""

from __future__ import annotations

import pytest

from lucidnode.fs.errors import KeyMissing
from lucidnode.fs.format.keys import ProjectKeys
from lucidnode.node.client.ids import ProjectId

FILM = ProjectId("0f" * 16)
OTHER = ProjectId("f0" * 16)


def test_every_purpose_epoch_and_project_has_a_key_of_its_own() -> None:
    keys = [ProjectKeys.of(project, {1: b"a" * 32, 2: b"b" * 32}) for project in (FILM, OTHER)]
    derived = [
        key
        for project in keys
        for key in (
            project.replica,
            *(
                key
                for epoch in (1, 2)
                for key in (
                    project.epoch(epoch).content,
                    project.epoch(epoch).nonce,
                    project.epoch(epoch).journal,
                )
            ),
        )
    ]
    assert len(set(derived)) == len(derived) == 14
    assert all(len(key) == 32 for key in derived)


def test_new_things_are_sealed_in_the_newest_epoch() -> None:
    assert ProjectKeys.of(FILM, {7: bytes(32), 3: bytes(32)}).current == 7


def test_a_new_epoch_leaves_the_replica_readable() -> None:
    before = ProjectKeys.of(FILM, {1: b"a" * 32})
    after = ProjectKeys.of(FILM, {1: b"a" * 32, 2: b"b" * 32})
    assert after.replica == before.replica


@pytest.mark.parametrize("epoch", [0, 2, 2**32])
def test_an_epoch_we_hold_no_key_of_is_missing(epoch: int) -> None:
    with pytest.raises(KeyMissing):
        ProjectKeys.of(FILM, {1: bytes(32)}).epoch(epoch)


@pytest.mark.parametrize(
    "keys", [{}, {1: bytes(31)}, {1: bytes(33)}, {0: bytes(32)}, {2**32: bytes(32)}]
)
def test_keys_of_a_wrong_shape_are_a_mistake_of_the_caller(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="epoch"):
        ProjectKeys.of(FILM, keys)


def test_keys_do_not_show_in_logs_and_tracebacks() -> None:
    key = bytes(range(32))
    keys = ProjectKeys.of(FILM, {1: key})
    shown = repr(keys) + repr(keys.epoch(1))
    for secret in (key, keys.replica, keys.epoch(1).content, keys.epoch(1).journal):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
