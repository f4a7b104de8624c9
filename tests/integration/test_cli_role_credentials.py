"""Credentials by role against a real store: what each can do there, and how they reach workstations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_fixture import Workstation, until, workstation
from seaweed_fixture import Seaweed, running_seaweed

from lucidnode.cli.exit_codes import Exit
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.bucket.open_bucket import open_engine, prepare_bucket
from lucidnode.node.bucket.session import FixedCredentials
from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import AccessDenied, NodeError
from lucidnode.node.client.roster_entry import Role
from lucidnode.role_policies import policy

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(300)]

_BUCKET, _PREFIX = "footage", "studio"


def _identity(role: Role, name: str) -> dict[str, Any]:
    """Return what `credentials policy --store seaweedfs` prints for *role*, with keys of *name*."""
    found: dict[str, Any] = json.loads(policy(role, "seaweedfs", _BUCKET, _PREFIX))
    (one,) = found["identities"]
    one["name"] = name
    one["credentials"] = [{"accessKey": f"AK{name}", "secretKey": f"secret-of-{name}"}]
    return found


@pytest.fixture(scope="module")
def store() -> Iterator[Seaweed]:
    viewers = _identity("viewer", "VIEWER")
    later = _identity("viewer", "VIEWER2")
    later["policies"] = []
    editors = _identity("editor", "EDITOR")
    owners = _identity("owner", "OWNER2")
    with running_seaweed(viewers, later, editors, owners) as seaweed:
        yield seaweed


def _key(name: str) -> dict[str, str]:
    return {"access_key": f"AK{name}", "secret_key": f"secret-of-{name}"}


def _file(station: Workstation, name: str) -> Path:
    return station.secret_file(f"{name}.json", json.dumps(_key(name)))


def _used(station: Workstation) -> str:
    held: dict[str, str] = json.loads(station.opened("bucket.json"))
    return held["access_key"]


def _joined(owner: Workstation, newcomer: Workstation, role: str) -> None:
    """Have a workstation of the owner, who has a project mounted, let *newcomer* in."""
    made = json.loads(owner.unlocked("invite", "--role", role, "--json").out)
    newcomer.unlocked(
        *("join", f"@{newcomer.secret_file('ticket', made['ticket'])}"),
        *("--code-file", newcomer.secret_file("code", made["code"])),
        *("--name", newcomer.folder.name),
    )


async def _rights(store: Seaweed, name: str, key: str) -> set[str]:
    """Return what the identity *name* may do with the object *key*, which is there, of these three."""
    bucket = open_engine(
        store.address(_BUCKET, _PREFIX), FixedCredentials(Credentials(**_key(name))), Network(),
        SystemClock(),
    )  # fmt: skip
    may, body = {"read"}, await bucket.get(key)
    try:
        await bucket.put(key, body)
        may.add("write")
    except AccessDenied:
        pass
    try:
        await bucket.delete(key)
        may.add("delete")
        await bucket.put(key, body)
    except NodeError:
        pass
    return may


async def test_each_role_can_do_in_the_store_what_its_policy_says_and_no_more(
    store: Seaweed,
) -> None:
    owner = open_engine(
        store.address(_BUCKET, _PREFIX), FixedCredentials(store.owner), Network(), SystemClock()
    )
    await prepare_bucket(
        store.address(_BUCKET, _PREFIX), FixedCredentials(store.owner), Network(), create=True
    )
    block, entry = f"p/{'1' * 32}/block/ab/ab", f"p/{'1' * 32}/journal/{1:016d}"
    roster, offer = f"roster/{9:016d}", f"invitations/{'1' * 32}/offer"
    for key in (block, entry, roster, offer):
        await owner.put(key, b"x")
    rights = {
        name: [await _rights(store, name, key) for key in (block, entry, roster, offer)]
        for name in ("VIEWER", "EDITOR", "OWNER2")
    }
    assert rights["VIEWER"] == [{"read"}] * 4
    # That journal, roster and invitations are created once this store cannot be told.
    assert rights["EDITOR"] == [{"read", "write"}] * 4
    assert rights["OWNER2"] == [
        {"read", "write", "delete"},
        {"read", "write"},
        {"read", "write"},
        {"read", "write", "delete"},
    ]
    for key in (block, entry, roster, offer):
        await owner.delete(key)


def test_credentials_of_a_role_reach_its_workstations_by_themselves(
    tmp_path: Path, store: Seaweed
) -> None:
    with (
        workstation(tmp_path / "ada") as ada,
        workstation(tmp_path / "bo") as bo,
        workstation(tmp_path / "cy") as cy,
    ):
        ada.environment |= {
            "AWS_ACCESS_KEY_ID": store.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": store.owner.secret_key,
        }
        ada.unlocked("init", f"s3://{_BUCKET}/{_PREFIX}", "--endpoint-url", store.endpoint)
        ada.unlocked("project", "create", "demo")
        here, there = ada.folder / "drive", bo.folder / "drive"
        ada.unlocked("mount", "demo", here)
        (here / "cut").write_text("by Ada")

        printed = ada.ok("credentials", "policy", "--role", "viewer", "--store", "seaweedfs")
        assert json.loads(printed.out) == json.loads(
            policy("viewer", "seaweedfs", _BUCKET, _PREFIX)
        )
        words = ("--passphrase-file", ada.words)
        able = ada.run(
            *("credentials", "set", "--role", "viewer", *words),
            *("--credentials-file", _file(ada, "EDITOR")),
        )
        assert (able.code, "can write" in able.line) == (Exit.FAILED, True), able
        given = ada.unlocked(
            *("credentials", "set", "--role", "viewer", "--json"),
            *("--credentials-file", _file(ada, "VIEWER")),
        )
        told = json.loads(given.out)
        assert told["delete"] == store.owner.access_key
        assert told["delete_after_all_roles"]
        assert _used(ada) == store.owner.access_key, "an owner only hands them on"

        # Who joins as a viewer enters himself in the log, and has nothing that can write.
        _joined(ada, bo, "viewer")
        assert _used(bo) == "AKVIEWER"
        bo.unlocked("mount", "demo", there)
        until((there / "cut").is_file)
        until(lambda: (there / "cut").read_text() == "by Ada")
        assert not bo.status()["alerts"], bo.status()["alerts"]

        # Newer ones are taken over where nobody does anything.
        given = ada.unlocked(
            *("credentials", "set", "--role", "viewer", "--credentials-file"), _file(ada, "VIEWER2")
        )
        assert "delete the old ones, AKVIEWER," in given.err, given.err
        ada.unlocked(
            *("credentials", "set", "--role", "editor", "--credentials-file"), _file(ada, "EDITOR")
        )
        _joined(ada, cy, "editor")
        until(lambda: _used(bo) == "AKVIEWER2")
        (here / "cut").write_text("once more")
        until(lambda: (there / "cut").read_text() == "once more")

        # With another role come its credentials; who is put out leaves his to be replaced.
        assert _used(cy) == "AKEDITOR"
        cy.unlocked("project", "list")  # its daemon runs from now on
        ada.unlocked("members", "role", "cy", "viewer", "--yes")
        until(lambda: _used(cy) == "AKVIEWER2")
        told = json.loads(
            ada.unlocked(
                *("members", "revoke", "cy", "--yes", "--json"),
                *("--credentials-file", _file(ada, "VIEWER")),
            ).out
        )
        assert "AKVIEWER2" in told["rotate"]
        until(lambda: _used(bo) == "AKVIEWER")
        assert _used(cy) == "AKVIEWER2"

        # An owner knew those of all roles: what is not given with it is named.
        ada.unlocked("members", "role", "bo", "owner", "--yes")
        told = json.loads(
            ada.unlocked(
                *("members", "revoke", "bo", "--yes", "--json"),
                *("--credentials-file", f"editor={_file(ada, 'EDITOR')}"),
            ).out
        )
        assert "every editor" in told["rotate"]
        assert "They know the bucket's credentials" in told["rotate"]
        assert "AKVIEWER (of every viewer)" in told["rotate"]
        assert "AKEDITOR (of every editor)" not in told["rotate"]
