"""Tickets that only ask: who is let in, by whom, once, and what each side sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_fixture import LUCIDNODE, PASSPHRASE, Workstation, until, workstation
from seaweed_fixture import running_seaweed

from lucidnode import membership, node_key
from lucidnode.cli.exit_codes import Exit
from lucidnode.fs.membership.asking_ticket import open_asking
from lucidnode.inviting import InviteWish, invite_asking
from lucidnode.node import sealed_file
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(900)]

_WORDS = re.compile(r"on both sides: ([a-z-]{23})$", re.MULTILINE)


class Joining:
    """A `join` that goes on beside the test."""

    def __init__(self, station: Workstation, made: dict[str, str]) -> None:
        wrapped = "> «" + "\n> ".join(re.findall(".{1,60}", made["ticket"].upper())) + "»\n"
        self._said = station.folder / "said"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [
                    *(LUCIDNODE, "join", f"@{station.secret_file('ticket', wrapped)}"),
                    *("--code-file", station.secret_file("code", made["code"])),
                    *("--passphrase-file", station.words, "--name", station.folder.name),
                ],
                env=station.environment,
                stdin=subprocess.DEVNULL,
                stderr=said,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def words(self) -> str:
        """Return the words it shows, once it has asked."""
        until(lambda: _WORDS.search(self.said), 240, lambda: self.said)
        found = _WORDS.search(self.said)
        assert found
        return found[1]


@contextlib.contextmanager
def joining(station: Workstation, made: dict[str, str]) -> Iterator[Joining]:
    one = Joining(station, made)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def invited(station: Workstation, *words: str) -> dict[str, str]:
    made: dict[str, str] = json.loads(station.unlocked("invite", *words, "--json").out)
    return made


def standing(station: Workstation, ident: str) -> dict[str, Any]:
    listed = json.loads(station.unlocked("invite", "list", "--json").out)["invites"]
    found: list[dict[str, Any]] = [one for one in listed if one["id"] == ident]
    return found[0]


def test_a_ticket_waits_for_an_owner_lets_one_in_and_can_be_withdrawn(tmp_path: Path) -> None:
    with (
        workstation(tmp_path / "owner") as owner,
        workstation(tmp_path / "bo") as bo,
        workstation(tmp_path / "thief") as thief,
    ):
        owner.unlocked("init", f"file://{tmp_path}/bucket")
        owner.unlocked("project", "create", "demo")
        owner.unlocked("project", "create", "secret")
        owner.ok("lock")  # else it answers by itself
        made = invited(owner, "--for", "Bo", "--project", "demo", "--expires", "2h")
        assert standing(owner, made["id"])["standing"] == "waiting"
        with joining(bo, made) as first:
            words = first.words()
            assert "waiting for " in first.said
            kept = json.loads((bo.home / "asked.json").read_text())
            assert kept.keys() == {"format", "invitation", "sealed"}
            asked = standing(owner, made["id"])
            assert (asked["standing"], asked["words"]) == ("asked", words)
            assert asked["asked_by"]["member"] == "bo"
            with joining(thief, made) as second:
                assert second.words() != words
                let_in = json.loads(owner.unlocked("invite", "answer", "--json").out)["answered"]
                assert [one["words"] for one in let_in] == [words]
                assert first.process.wait(300) == 0, first.said
                assert second.process.wait(300) == Exit.TICKET, second.said
                assert "somebody else has used this ticket" in second.said
        assert not (bo.home / "asked.json").exists()
        projects = json.loads(bo.unlocked("project", "list", "--json").out)
        assert "demo" in json.dumps(projects)
        assert "secret" not in json.dumps(projects)

        # Where an owner has to say the words, wrong ones let nobody in.
        gone = invited(owner, "--confirm")
        with joining(thief, gone) as late:
            words = late.words()
            waits = json.loads(owner.unlocked("invite", "answer", "--json").out)
            assert [one["words"] for one in waits["to_confirm"]] == [words]
            refused = owner.run(
                *("invite", "answer", "madov-nubot-loton-jajaf"),
                *("--passphrase-file", owner.words),
            )
            assert (refused.code, "nobody waits" in refused.line) == (Exit.FAILED, True)
            owner.unlocked("invite", "cancel", gone["id"][:8])
            assert standing(owner, gone["id"])["standing"] == "withdrawn"
            assert late.process.wait(300) == Exit.TICKET, late.said
            assert "withdrawn" in late.said
        # Past its time before anybody could use it.
        mine = membership.unlock(owner.home, PASSPHRASE)
        sealed_file.hold(owner.home, node_key.open_kept(owner.home, mine.keys))
        late_wish = InviteWish("editor", lasts_s=0)
        old = asyncio.run(invite_asking(owner.home, owner.home / SOCKET_FILE, mine, late_wish))
        with joining(thief, {"ticket": old.ticket, "code": old.code}) as late:
            assert late.process.wait(300) == Exit.TICKET, late.said
            assert "past its time" in late.said
        in_file = tmp_path / "ticket"
        alone = {"code": owner.unlocked("invite", "--unattended", "--ticket-file", in_file).out}
        alone["ticket"] = in_file.read_text().strip()
        assert in_file.stat().st_mode & 0o777 == 0o600
        listed = json.loads(owner.unlocked("invite", "list", "--json").out)["invites"]
        (alone["id"],) = [one["id"] for one in listed if one["standing"] == "unattended"]
        withdrawn = owner.unlocked("invite", "cancel", alone["id"])
        assert "in force in 2 projects" in withdrawn.err
        with joining(thief, alone) as late:
            assert late.process.wait(300) == Exit.TICKET, late.said
            assert "withdrawn" in late.said


def test_an_editor_who_may_invites_and_answers_and_nobody_may_more_than_he(tmp_path: Path) -> None:
    with (
        workstation(tmp_path / "ada") as ada,
        workstation(tmp_path / "bo") as bo,
        workstation(tmp_path / "cy") as cy,
    ):
        ada.unlocked("init", f"file://{tmp_path}/bucket")
        ada.unlocked("project", "create", "demo")
        ada.unlocked("project", "create", "secret")
        ada.ok("lock")  # else it answers by itself
        made = invited(ada, "--project", "demo")
        drive = ada.folder / "drive"
        ada.unlocked("mount", "demo", drive)
        with joining(bo, made) as joins:  # a mount has its keys, and answers
            assert joins.process.wait(300) == 0, joins.said
        ada.ok("umount", drive)
        refused = bo.run("invite", "--passphrase-file", bo.words)
        assert (refused.code, "members inviting" in refused.line) == (Exit.NOT_ALLOWED, True)
        ada.unlocked("members", "inviting", "bo", "on", "--yes")
        bo.ok("lock")
        for how in (
            ["--unattended"],
            ["--join-token", f"{tmp_path}/farm.json"],
            ["--role", "owner"],
        ):
            refused = bo.run("invite", *how, "--passphrase-file", bo.words)
            assert (refused.code, "owner" in refused.line) == (Exit.NOT_ALLOWED, True), refused.line
        # An invite of the owner's: he answers it, while she is away.
        by_ada = invited(ada, "--role", "viewer", "--project", "demo", "--expires", "30min")
        gone = invited(bo, "--for", "nobody")
        bo.unlocked("invite", "cancel", gone["id"])
        assert standing(bo, gone["id"])["standing"] == "withdrawn"
        refused = bo.run("invite", "cancel", by_ada["id"], "--passphrase-file", bo.words)
        assert "somebody else" in refused.line
        with joining(cy, by_ada) as joins:
            words = joins.words()
            let_in = json.loads(bo.unlocked("invite", "answer", "--json").out)["answered"]
            assert [(one["words"], one["role"]) for one in let_in] == [(words, "viewer")]
            assert joins.process.wait(300) == 0, joins.said
        open_ = invited(bo)
        told = ada.unlocked("members", "inviting", "bo", "off", "--yes")
        assert "closed 2 open invites" in told.err
        audit = [json.loads(line) for line in ada.unlocked("audit", "--json").out.splitlines()]
        assert [one["event"] for one in audit if one.get("member") == "bo"] == [
            *("joined", "inviting allowed", "inviting forbidden"),
        ]
        (joined,) = [one for one in audit if one.get("member") == "cy"]
        assert (joined["event"], joined["role"], joined["projects"]) == (
            "joined",
            "viewer",
            ["demo"],
        )
        assert open_["id"] not in ada.unlocked("invite", "list", "--json").out


def test_a_ticket_for_s3_has_no_credential_and_an_unlocked_owner_answers_with_nothing_mounted(
    tmp_path: Path,
) -> None:
    with (
        running_seaweed() as store,
        workstation(tmp_path / "owner") as owner,
        workstation(tmp_path / "bo") as bo,
    ):
        owner.environment |= {
            "AWS_ACCESS_KEY_ID": store.owner.access_key,
            "AWS_SECRET_ACCESS_KEY": store.owner.secret_key,
        }
        owner.unlocked("init", "s3://studio/here", "--endpoint-url", store.endpoint)
        owner.unlocked("project", "create", "demo")
        made = invited(owner, "--for", "Bo")
        held = msgspec.msgpack.encode(open_asking(made["ticket"], made["code"], 0))
        assert store.owner.secret_key.encode() not in held
        assert not (bo.home / "bucket.json").exists()
        with joining(bo, made) as one:
            words = one.words()
            assert one.process.wait(300) == 0, one.said
        # What the ticket did not have came with the answer.
        assert store.owner.secret_key in bo.opened("bucket.json").decode()
        assert store.owner.secret_key not in (bo.home / "bucket.json").read_text()
        until(lambda: words in json.dumps(owner.status()["alerts"]), 240, owner.status)


def test_a_workstation_comes_back_from_its_exported_keys(tmp_path: Path) -> None:
    copy = tmp_path / "keys.json"
    with workstation(tmp_path / "lost") as lost:
        lost.unlocked("init", f"file://{tmp_path}/bucket", "--name", "Ada")
        lost.unlocked("project", "create", "demo")
        lost.unlocked("keys", "export", copy)
        assert copy.stat().st_mode & 0o777 == 0o600
        again = lost.run("keys", "export", copy, "--passphrase-file", lost.words)
        assert (again.code, "exists already" in again.line) == (Exit.FAILED, True)
        device = lost.opened("device.pem")
        lost.ok("exit")
    with workstation(tmp_path / "found") as found:
        wrong = found.secret_file("wrong", "another passphrase")
        refused = found.run("keys", "import", copy, "--passphrase-file", wrong)
        assert (refused.code, (found.home / "node.json").exists()) == (Exit.PASSPHRASE, False)
        code, shown = found.on_terminal(
            *(LUCIDNODE, "keys", "import", str(copy)), answers=(("Passphrase", PASSPHRASE),)
        )
        assert code == 0, shown
        assert found.opened("device.pem") == device
        # It was typed once, and that is enough.
        projects = json.loads(found.ok("project", "list", "--json").out)
        assert "demo" in json.dumps(projects)
        twice = found.run("keys", "import", copy, "--passphrase-file", found.words)
        assert "belongs to a studio already" in twice.line
