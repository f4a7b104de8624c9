"""`lucidnode config`, without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lucidnode.cli.app import cli
from lucidnode.node.config import NodeConfig, load_config, save_config

BEFORE = NodeConfig(
    studio="s",
    genesis="ab" * 32,
    lan_key="ab" * 32,
    bucket_url="file:///bucket",
    staging_limit=5 << 30,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    save_config(tmp_path, BEFORE)
    return tmp_path


def _config(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--home", str(home), "config", *words])


def test_a_setting_can_be_changed_and_taken_back_and_nothing_else_changes(home: Path) -> None:
    ended = _config(home, "set", "cache.limit", "2GiB")
    assert (ended.exit_code, ended.output) == (0, "cache.limit is 2 GiB now\n")
    after = load_config(home)
    assert after.cache_limit == 2 << 30
    assert (after.bucket_url, after.staging_limit) == (BEFORE.bucket_url, BEFORE.staging_limit)
    ended = _config(home, "unset", "cache.limit")
    assert (ended.exit_code, ended.output) == (0, "cache.limit is 100 GiB now\n")
    assert load_config(home) == BEFORE


def test_a_change_that_counts_later_says_when(home: Path) -> None:
    ended = _config(home, "set", "ports.control", "7450")
    assert ended.output == (
        "ports.control is 7450 now: the daemon serves anew, and mounts wait for a moment\n"
    )
    ended = _config(home, "set", "uploads.room", "60GiB")
    assert ended.output == "uploads.room is 60 GiB for projects mounted from now on\n"


def test_what_was_set_here_is_told_from_what_is_by_default(home: Path) -> None:
    listed = {
        found["name"]: found
        for found in json.loads(_config(home, "list", "--json").output)["settings"]
    }
    assert (listed["uploads.room"]["value"], listed["uploads.room"]["from"]) == (
        5 << 30,
        "this workstation",
    )
    assert (listed["cache.leave-free"]["value"], listed["cache.leave-free"]["from"]) == (
        None,
        "default",
    )
    lines = {line.split()[0]: line for line in _config(home, "list").output.splitlines()}
    assert lines["uploads.room"].split(maxsplit=1)[1].split("  ")[0] == "5 GiB"
    assert lines.keys() - {"setting"} == listed.keys()


def test_each_setting_is_explained(home: Path) -> None:
    for found in json.loads(_config(home, "list", "--json").output)["settings"]:
        shown = _config(home, "explain", found["name"]).output
        assert found["meaning"] in " ".join(shown.split()), shown
        assert json.loads(_config(home, "explain", found["name"], "--json").output) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "cache.limit", "1MiB"), "at least 64 MiB"),
        (("set", "cache.limt", "1GiB"), "did you mean cache.limit?"),
        (("set", "cache.limit"), "is to be: "),
        (("explain", "studio"), "there is no setting studio"),
    ],
)
def test_a_mistyped_setting_changes_nothing(home: Path, words: tuple[str, ...], said: str) -> None:
    ended = _config(home, *words)
    assert (ended.exit_code, said in ended.output) == (2, True), ended.output
    assert load_config(home) == BEFORE


def test_the_log_of_a_daemon_is_named_that_does_not_run(tmp_path: Path) -> None:
    save_config(tmp_path, BEFORE)
    told = CliRunner().invoke(cli, ["--home", str(tmp_path), "log"])
    assert told.exit_code == 0, told.output
    assert told.stdout.split() == ["daemon", str(tmp_path / "daemon.log")]
