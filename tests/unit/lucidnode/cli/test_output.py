"""How the command line words figures and failures."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lucidnode.cli.app import main
from lucidnode.cli.exit_codes import Exit
from lucidnode.cli.failure import failure
from lucidnode.cli.mount_point import mount_path
from lucidnode.cli.output import (
    counted,
    in_blocks,
    show_facts,
    show_json,
    show_line,
    show_table,
    size,
)
from lucidnode.fs.errors import NoSpace, WrongPassphrase
from lucidnode.node.bucket.errors import WrongBucket


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (107_374_182_400, "107.4 GB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes_are_in_powers_of_ten_and_never_a_thousand_of_a_unit(count: int, shown: str) -> None:
    assert size(count) == shown


def test_one_is_singular_and_nothing_is_called_nothing() -> None:
    assert counted(1, "block") == "1 block"
    assert counted(0, "block") == "0 blocks"
    assert counted(1234, "block") == "1,234 blocks"
    assert in_blocks(0, 0) == "nothing"
    assert in_blocks(1_500_000, 1) == "1.5 MB in 1 block"


def test_a_failure_is_one_line_whatever_was_raised() -> None:
    assert failure(WrongBucket("There is no\nbucket 'x'.")) == (
        "there is no bucket 'x'",
        Exit.BUCKET_WRONG,
    )
    assert failure(NoSpace("AWS is full.")) == ("AWS is full", Exit.DISK_FULL)
    assert failure(FileNotFoundError(2, "No such file or directory", "/x")) == (
        "cannot use /x: No such file or directory",
        Exit.FAILED,
    )


def test_what_a_race_with_an_ending_process_leaves_is_said_in_words() -> None:
    line, code = failure(ProcessLookupError(3, "No such process"))
    assert line == "a process of Lucidnode ended meanwhile: try again"
    assert code == Exit.FAILED
    line, _ = failure(OSError(errno.ENOTCONN, "Transport endpoint is not connected", "/mnt/demo"))
    assert line.startswith("the mount at /mnt/demo has lost its process: ")


def test_an_expected_failure_in_a_group_speaks_for_it() -> None:
    group = ExceptionGroup("all", [ExceptionGroup("some", [ValueError(), WrongPassphrase("no")])])
    assert failure(group) == ("no", Exit.PASSPHRASE)


def test_the_trace_of_an_unexpected_failure_is_kept_for_us_alone() -> None:
    line, code = failure(KeyError("gone"))
    kept = Path(line.rpartition(" ")[2])
    try:
        assert code == Exit.FAILED
        assert "should not have happened (KeyError)" in line
        assert "KeyError: 'gone'" in kept.read_text()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    finally:
        kept.unlink()


def test_json_tells_names_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"film\xff")
    show_json({"path": name})
    assert json.loads(capsys.readouterr().out) == {"path": name}


def test_names_of_files_are_shown_as_they_are_and_steer_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["[red]cut[/red]", "a:smile:b", "\x1b[31mred", "two\nlines", "caf\udce9", "žluť 影.mov"]
    show_table(["file"], [[name] for name in names])
    show_facts([("file", name) for name in names])
    for name in names:
        show_line(f"left out: {name}")
    out = capsys.readouterr().out
    shown = [*names[:2], "\\x1b[31mred", "two\\nlines", "caf\\udce9", names[-1]]
    assert [line.strip() for line in out.splitlines()] == [
        "file",
        *shown,
        *(f"file  {name}" for name in shown),
        *(f"left out: {name}" for name in shown),
    ]


def test_a_directory_whose_name_is_no_text_is_no_place_for_a_mount(tmp_path: Path) -> None:
    assert mount_path(tmp_path / "žluť") == tmp_path / "žluť"
    with pytest.raises(click.UsageError, match="is no UTF-8: name another directory"):
        mount_path(Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9")))


def test_a_pipe_gets_each_path_whole_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["/" + "long/" * 800, "/short"]
    show_table(["path", "files"], [[path, 1] for path in paths])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["path", *paths]


def test_why_a_command_failed_steers_no_terminal_whatever_the_file_is_called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cut\x1b[2J\nlucidnode: forged"
    line, _ = failure(FileNotFoundError(2, "No such file or directory", name))
    assert line == "cannot use cut\\x1b[2J\\nlucidnode: forged: No such file or directory"
    monkeypatch.setattr(sys, "argv", ["lucidnode", "--home", "/nowhere/\x1b[2J", "cache", "show"])
    with pytest.raises(SystemExit):
        main()
    assert "/nowhere/\\x1b[2J" in capsys.readouterr().err


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_is_shown_no_colour_where_no_color_says_so(no_color: str) -> None:
    """In a process of its own on a real terminal: with colours but for NO_COLOR, a table and a bar of progress."""
    code = (
        "from lucidnode.cli.output import show_table;"
        "from lucidnode.cli.progress import work_left;"
        "bar = work_left('warming', 100, in_bytes=True); bar.__enter__()(50); bar.__exit__(None, None, None);"
        "show_table(['name'], [['demo']])"
    )
    ours, terminal = os.openpty()
    with open(ours, "rb", buffering=0):
        environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color}
        environment.pop("FORCE_COLOR", None)
        command = [sys.executable, "-P", "-c", code]
        subprocess.run(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, check=True
        )
        text = os.read(ours, 65536)
    os.close(terminal)
    assert b"demo" in text
    coloured = re.search(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|9[0-7])[0-9;]*m", text)
    assert (coloured is None) is bool(no_color), text


@pytest.mark.parametrize(
    ("bar", "steps"),
    [
        ("bytes_left(doing)", "9_000_000, 6_000_000, 3_000_000"),
        ("work_left(doing, 9_000_000, in_bytes=True)", "3_000_000, 3_000_000, 1"),
    ],
)
def test_what_takes_long_has_a_rate_and_the_time_left_behind_any_path(bar: str, steps: str) -> None:
    text = _on_a_terminal(
        "import time; from lucidnode.cli.progress import bytes_left, work_left\n"
        f"doing = 'copying [/x]\\x1b[2J ' + 30 * '/a-long-name'\n"
        f"with {bar} as show:\n for done in ({steps}):\n  show(done); time.sleep(0.2)"
    )
    assert re.search(rb"[0-9.]+ MB/s", text), text
    assert re.search(rb"0:00:0[0-9]", text), text
    assert rb"copying [/x]\x1b[2J" in text, "others chose the name, which is text and nothing else"


def test_words_beside_a_spinner_are_text_and_nothing_else() -> None:
    text = _on_a_terminal(
        "from lucidnode.cli.progress import spinner\n"
        "with spinner('looking through a[/x]\\x1b[2J') as show: show('b[/y]\\x1b[2J')"
    )
    assert rb"b[/y]\x1b[2J" in text
    assert b"\x1b[2J" not in text


def _on_a_terminal(code: str) -> bytes:
    """Return what *code* writes to a terminal of 80 columns, in a process of its own."""
    ours, terminal = os.openpty()
    with open(ours, "rb", buffering=0):
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "NO_COLOR": "1"}
        command = [sys.executable, "-P", "-c", code]
        subprocess.run(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, check=True
        )
        text = os.read(ours, 65536)
    os.close(terminal)
    return text
