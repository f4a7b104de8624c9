"""A store that refuses locks nobody out, and new credentials count at once."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Workstation, until, workstation
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.cli.exit_codes import Exit

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]


_number = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[Seaweed]:
    with running_seaweed() as seaweed:
        yield seaweed


@pytest.fixture
def station(tmp_path: Path, store: Seaweed) -> Iterator[Workstation]:
    """Return a workstation of a studio at *store*, with a project `demo`."""
    with workstation(tmp_path / "a") as one:
        one.environment |= {
            "AWS_ACCESS_KEY_ID": store.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": store.owner.secret_key,
        }
        one.unlocked("init", f"s3://studio-{next(_number)}", "--endpoint-url", store.endpoint)
        one.unlocked("project", "create", "demo")
        yield one


def told_of_the_bucket(station: Workstation) -> list[dict[str, Any]]:
    return [alert for alert in station.status()["alerts"] if alert["topic"] == "bucket"]


def keys_file(station: Workstation, **fields: str) -> Path:
    return station.secret_file("keys.json", json.dumps(fields))


def test_a_store_that_refuses_locks_nobody_out_until_new_credentials_come(
    station: Workstation, store: Seaweed
) -> None:
    mountpoint = station.folder / "mounted"
    station.unlocked("mount", "demo", mountpoint)
    (mountpoint / "cached").write_text("here")
    station.ok("umount", mountpoint)
    station.ok("exit")

    # As when a session has expired: the same key, and the store says no.
    right = station.home / "bucket.json"
    kept = station.opened("bucket.json").decode()
    right.write_text(kept.replace(store.owner.secret_key, "expired-secret"))
    station.unlocked("mount", "demo", mountpoint)
    assert (mountpoint / "cached").read_text() == "here"
    until(lambda: told_of_the_bucket(station))
    told = told_of_the_bucket(station)
    assert "the secret does not belong to the access key" in told[0]["cause"]
    assert "`lucidnode credentials set`" in told[0]["remedy"]
    (mountpoint / "unsent").write_bytes(secrets.token_bytes(3 << 20))
    with (mountpoint / "unsent").open("rb") as written:
        os.fsync(written)
    assert station.facts("status")["uploads"]["blocks"] >= 1

    wrong = station.run(
        "credentials", "set", "--credentials-file",
        keys_file(station, access_key="AKSTRANGER", secret_key="stranger-secret"),
    )  # fmt: skip
    assert wrong.code == Exit.BUCKET_WRONG
    assert "the access key is unknown to it" in wrong.line
    assert "stranger-secret" not in wrong.line
    assert b"expired-secret" in station.opened("bucket.json"), "what does not work is not kept"

    said = station.ok("credentials", "set").err
    assert "the daemon uses them now" in said
    assert station.opened("bucket.json").decode() == kept
    assert stat.S_IMODE(right.stat().st_mode) == 0o600
    until(lambda: not station.status()["uploads"]["blocks"])
    # A request that was signed before may still be on its way.
    until(lambda: told_of_the_bucket(station) == [])
    station.ok("umount", mountpoint)
    station.ok("exit")


def test_what_kind_of_credentials_there_is_shows_without_a_secret(
    station: Workstation, store: Seaweed
) -> None:
    station.unlocked("unlock")
    assert station.facts("credentials show") == {
        "kind": "lasting",
        "access_key": store.owner.access_key,
        "expires": None,
    }
    assert store.owner.secret_key not in station.ok("credentials", "show").out
    ended = station.run(
        "credentials", "set", "--credentials-file",
        keys_file(
            station,
            access_key=store.owner.access_key,
            secret_key=store.owner.secret_key,
            expires="2020-01-01T00:00:00Z",
        ),
    )  # fmt: skip
    assert "ended at 2020-01-01T00:00:00Z" in ended.line
    temporary = station.ok(
        "credentials", "set", "--credentials-file",
        keys_file(
            station,
            access_key=store.owner.access_key,
            secret_key=store.owner.secret_key,
            expires="2999-01-01T00:00:00Z",
        ),
    )  # fmt: skip
    assert "these credentials are temporary and end at 2999-01-01T00:00:00Z" in temporary.err
    assert station.facts("credentials show")["kind"] == "temporary"
