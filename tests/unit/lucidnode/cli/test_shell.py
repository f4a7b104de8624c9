"""The command line in people's shells: what Tab offers, and the man pages."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner

from lucidnode.cli.app import cli
from lucidnode.cli.man_pages import man_pages
from lucidnode.cli.persistent_mounts import MOUNTS_FILE, PersistentMount, add
from lucidnode.node.client.daemon_socket.place import SOCKET_FILE

MACROS = {".TH", ".SH", ".PP", ".TP", ".nf", ".fi"}


def offered(typed: list[str], incomplete: str, kind: str = "plain") -> list[str]:
    found = get_completion_class("bash")
    assert found is not None
    completing = found(cli, {}, "lucidnode", "_LUCIDNODE_COMPLETE")
    items = completing.get_completions(typed, incomplete)
    return [item.value for item in items if item.type == kind]


def test_commands_options_and_settings_are_offered() -> None:
    assert {"cache", "cached", "warm"} <= set(offered([], ""))
    assert offered([], "ca") == ["cached", "cache"]
    assert offered(["cache"], "cl") == ["clear"]
    assert "--since" in offered(["savings"], "--")
    assert offered(["config", "set"], "cache.l") == ["cache.limit", "cache.leave-free"]
    assert offered(["completion"], "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("group", ["lock", "project", ""])
def test_what_takes_a_path_has_the_shell_offer_files(group: str) -> None:
    """Those with a path of a project, which need not be there any more, as well as those with one of the disk."""
    paths = {"PATH", "PATHS", "FILES", "SOURCE", "TARGET", "[PROJECT|DIR]", "DIRECTORY"}
    root = click.Context(cli)
    within = cli.get_command(root, group) if group else cli
    assert isinstance(within, click.Group)
    seen = 0
    for name in within.list_commands(root):
        command = within.get_command(root, name)
        assert command is not None
        context = click.Context(command)
        for param in command.params:
            if param.make_metavar(context).rstrip(".") in paths and not command.hidden:
                kinds = {each.type for each in param.shell_complete(context, "/x")}
                assert kinds & {"file", "dir"}, f"{name} {param.name}"
                seen += 1
    assert seen or group == "project"


def test_what_takes_a_project_is_offered_those_that_are_known_here(tmp_path: Path) -> None:
    for name in ("demo", "demons", "trailer"):
        add(tmp_path, PersistentMount(name, f"/srv/{name}"))
    at = ["--home", str(tmp_path)]
    for words in (
        ["mount"], ["quota"], ["fsck"], ["repair"], ["gc"], ["project", "archive"], ["project", "rename"],
        ["snapshot", "create"], ["retention", "set"], ["import", "/srv/old"], ["invite", "--project"],
        ["log"], ["conflicts", "list"], ["events"], ["lock", "list"], ["webhook", "add", "--project"],
    ):  # fmt: skip
        assert offered([*at, *words], "dem") == ["demo", "demons"], words
    assert offered([*at, "mount"], "") == ["demo", "demons", "trailer"]
    # Where a directory will do as well, it is files that begin like that.
    assert offered([*at, "log"], "/sr") == []
    assert offered([*at, "log"], "/sr", "file") == ["/sr"]
    assert offered([*at, "project", "create"], "dem") == [], "a new one has a new name"


def test_bash_is_offered_no_name_that_it_would_run_or_take_for_several_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["dem`reboot`", "demo", "demo; reboot", "demo $(reboot)", "demo film", "demo's"]
    for name in names:
        add(tmp_path, PersistentMount(name, f"/srv/{name}"))
    words = ["--home", str(tmp_path), "mount"]
    found = offered(words, "dem")
    assert [shlex.split(each) for each in found] == [[name] for name in sorted(names)]
    assert "demo" in found, "what needs no quotes has none"
    monkeypatch.setenv("COMP_WORDS", "lucidnode\nmount\n'dem")
    assert offered(words, "dem") == ["demo", "demo film"], "the person has opened a quote"
    assert offered([*words[:2], "log"], "/srv (old)/", "file") == ["/srv (old)/"]


def test_whatever_is_wrong_no_project_is_offered_and_nothing_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert offered(["--home", str(tmp_path / "none"), "mount"], "") == []
    (tmp_path / MOUNTS_FILE).write_text("{")
    assert offered(["--home", str(tmp_path), "mount"], "") == []
    (tmp_path / MOUNTS_FILE).unlink()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / SOCKET_FILE))
        silent.listen()
        assert offered(["--home", str(tmp_path), "mount"], "") == []
    assert capfd.readouterr() == ("", "")


def test_what_processes_start_is_offered_to_nobody() -> None:
    hidden = {
        name
        for name in cli.list_commands(click.Context(cli))
        if (command := cli.get_command(click.Context(cli), name)) is not None and command.hidden
    }
    assert hidden
    assert hidden.isdisjoint(offered([], ""))


def test_a_command_is_completed_without_importing_any() -> None:
    code = (
        "import sys; from lucidnode.cli.app import cli; import click;"
        "cli.shell_complete(click.Context(cli), 'wa');"
        "print([m for m in sys.modules if m.startswith('lucidnode.cli.')])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    imported = set(re.findall(r"[\w.]+", done.stdout))
    assert (
        not {"lucidnode.cli.nearness", "lucidnode.cli.waiting", "lucidnode.cli.mounting"} & imported
    )


@pytest.mark.parametrize(
    "modules", ["cli.keeper", "cli.daemon", "cli.daemon, lucidnode.node.daemon"]
)
def test_neither_who_starts_a_daemon_nor_its_cache_waits_for_a_library_that_only_the_rest_needs(
    modules: str,
) -> None:
    code = (
        f"import sys; import lucidnode.cli.app, lucidnode.{modules};"
        "print({'aiohttp', 'zeroconf', 'lucidnode.node.serving'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_asks_this_program(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_LUCIDNODE_COMPLETE={shell}_complete" in done.output


def test_fish_is_offered_what_it_was_given_commas_and_all() -> None:
    script = CliRunner().invoke(cli, ["completion", "fish"]).output
    assert "string split -m 1 , -- $each" in script, "click's ends a name, and a help, at its comma"


def test_bash_completes_by_the_script_that_we_print(tmp_path: Path) -> None:
    assert completed(tmp_path, "config set webhooks.") == ["webhooks.urls"]


def test_bash_puts_no_other_name_in_the_line_than_was_offered(tmp_path: Path) -> None:
    names = ["a\\b", "Film, cut 2", "[br]", "star*"]
    for name in names:
        add(tmp_path, PersistentMount(name, f"/srv/{name}"))
    for hostile in ("'b'", "'star$(reboot)'", "plain,'star; reboot'"):
        (tmp_path / hostile).touch()
    found = completed(tmp_path, "project archive ''")
    assert sorted(shlex.split(" ".join(found))) == sorted(names)


def completed(directory: Path, words: str) -> list[str]:
    """Return what bash offers in *directory*, which is the home as well, behind `lucidnode` and *words*."""
    script = directory / "lucidnode.bash"
    script.write_text(CliRunner().invoke(cli, ["completion", "bash"]).output)
    asked = f"""
        source {script}
        COMP_WORDS=(lucidnode {words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _lucidnode_completion lucidnode
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LUCIDNODE_HOME": str(directory),
    }
    done = subprocess.run(
        ["bash", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=directory,
        env={**os.environ, **own},
    )
    return done.stdout.splitlines()


def test_every_shown_command_has_a_page_that_roff_can_read() -> None:
    pages = man_pages(cli, "1.2-3")
    assert {"lucidnode.1", "lucidnode-mount.1", "lucidnode-config-set.1"} <= pages.keys()
    assert not {name for name in pages if "process" in name or name == "lucidnode-keep.1"}
    for name, text in pages.items():
        lines = text.splitlines()
        assert lines[0].startswith(f'.TH "{name.removesuffix(".1").upper()}" "1"'), name
        for section in (".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"):
            assert section in lines, (name, section)
        requests = {line.split(" ")[0] for line in lines if line.startswith((".", "'"))}
        assert requests <= MACROS, (name, requests - MACROS)
        # A backslash begins an escape of ours, or is one itself.
        assert not re.findall(r"\\(?![-e&]|fB|fR|\[u[0-9A-F]{4,6}\])", text), name
        assert text.isascii(), name
        assert "\b" not in text
    whole = pages["lucidnode.1"]
    assert "lucidnode\\-mount(1)" in whole
    assert ".SH EXIT STATUS" in whole
    assert "lucidnode config set cache.limit 500GB" in pages["lucidnode-config-set.1"]


def test_the_pages_are_written_where_one_says(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["manual", str(tmp_path / "man" / "man1")])
    assert done.exit_code == 0
    written = {path.name: path.read_text() for path in (tmp_path / "man" / "man1").iterdir()}
    assert set(written) == set(man_pages(cli, ""))
