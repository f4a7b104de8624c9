"""What the guide and --help promise of the command line is what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from lab.places import REPOSITORY

from lucidnode.cli.app import SECTIONS, cli
from lucidnode.cli.exit_codes import Exit, exit_code
from lucidnode.fs import errors as fs_errors
from lucidnode.node.client import errors as node_errors
from lucidnode.where_projects_are import default_home

GUIDE = REPOSITORY / "docs/guides/engineers.md"


def commands(
    group: click.Group = cli, names: tuple[str, ...] = ("lucidnode",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*names, name))


EVERY = list(commands())


@pytest.mark.parametrize(("names", "command"), EVERY, ids=[" ".join(names) for names, _ in EVERY])
def test_the_help_of_every_command_shows_how_it_is_typed(
    names: tuple[str, ...], command: click.Command
) -> None:
    text = command.get_help(click.Context(command, info_name=" ".join(names)))
    after = re.split(r"\n\s+Examples?.*:\n", text)
    assert len(after) == 2, "one part with examples"
    assert " ".join(names) in after[1], text


def test_the_guide_lists_the_exit_codes_with_their_sentences() -> None:
    _, _, section = GUIDE.read_text("utf-8").partition("## Exit codes\n")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == [(str(code.value), code.meaning) for code in Exit]


def test_help_lists_the_exit_codes() -> None:
    text = cli.get_help(click.Context(cli, info_name="lucidnode"))
    assert all(f"{code.value:>3}  {code.meaning}" in text for code in Exit)


def test_help_says_where_the_home_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LUCIDNODE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    text = " ".join(cli.get_help(click.Context(cli, info_name="lucidnode")).split())
    assert f"default: ~/{default_home().relative_to(tmp_path)}]" in text


def test_facts_can_be_had_as_json() -> None:
    with_facts = {
        "audit",
        "bucket copy",
        "cache clear",
        "cache show",
        "cached",
        "config explain",
        "config list",
        "conflicts list",
        "lock break",
        "lock list",
        "lock release",
        "lock take",
        "credentials set",
        "credentials show",
        "dashboard",
        "devices list",
        "devices revoke",
        "diff",
        "doctor",
        "events",
        "evict",
        "history",
        "invite",
        "invite answer",
        "invite list",
        "log",
        "members list",
        "members inviting",
        "members repair",
        "members revoke",
        "members role",
        "members settle",
        "peers",
        "pin list",
        "pin set",
        "pin unset",
        "project archive",
        "project delete",
        "project list",
        "project rekey",
        "project restore",
        "quota",
        "restore",
        "savings",
        "service status",
        "snapshot create",
        "snapshot list",
        "snapshot schedule",
        "stats",
        "status",
        "undelete",
        "usage",
        "gc",
        "retention show",
        "export",
        "fsck",
        "import",
        "sync",
        "clone",
        "wait",
        "webhook add",
        "webhook list",
        "warm",
        "why",
    }
    have = {
        " ".join(names[1:])
        for names, command in EVERY
        if any("--json" in option.opts for option in command.params)
    }
    assert have == with_facts


def test_every_error_that_a_person_can_meet_has_its_code() -> None:
    for error, expected in [
        (fs_errors.WrongPassphrase("x"), Exit.PASSPHRASE),
        (fs_errors.AlreadyMounted("x"), Exit.MOUNT_POINT),
        (fs_errors.FuseMissing("x"), Exit.NO_FUSE),
        (fs_errors.TicketSpent("x"), Exit.TICKET),
        (fs_errors.NotAllowed("x"), Exit.NOT_ALLOWED),
        (node_errors.AccessDenied("x"), Exit.BUCKET_WRONG),
        (node_errors.Unavailable("x"), Exit.BUCKET_AWAY),
        (node_errors.DaemonUnreachable("x"), Exit.NO_DAEMON),
        (node_errors.Refused("x"), Exit.FAILED),
        (OSError(28, "No space left on device"), Exit.DISK_FULL),
        (OSError(98, "Address already in use"), Exit.PORT_TAKEN),
        (OSError(13, "Permission denied"), Exit.FAILED),
    ]:
        assert exit_code(error) is expected


def test_every_command_stands_in_one_place_of_the_help() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(
        names[1] for names, command in EVERY if len(names) == 2 and not command.hidden
    )


def test_unmount_is_umount() -> None:
    context = click.Context(cli)
    assert cli.get_command(context, "unmount") is cli.get_command(context, "umount")
    assert "unmount" not in cli.list_commands(context)


def test_the_version_says_which_formats_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"], prog_name="lucidnode", standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"lucidnode, version \S+, with(out)? the kernel channel\n"
        r"formats of the bucket 1 to \d+, protocol between workstations \d+, JSON \d+\n",
        said,
    )
