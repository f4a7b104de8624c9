"""Settings of the cache, without a daemon."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from lucidnode.cli.app import cli
from lucidnode.node.config import NodeConfig, load_config, save_config


def test_the_limit_of_a_cache_can_be_changed_and_nothing_else_changes(tmp_path: Path) -> None:
    before = NodeConfig(
        studio="s",
        genesis="ab" * 32,
        lan_key="ab" * 32,
        bucket_url="file:///bucket",
        staging_limit=5 << 30,
    )
    save_config(tmp_path, before)
    ended = CliRunner().invoke(cli, ["--home", str(tmp_path), "cache", "limit", "2048"])
    assert (ended.exit_code, "at most 2.1 GB" in ended.output) == (0, True), ended.output
    after = load_config(tmp_path)
    assert after.cache_limit == 2048 << 20
    assert (after.bucket_url, after.staging_limit) == (before.bucket_url, before.staging_limit)
    assert CliRunner().invoke(cli, ["--home", str(tmp_path), "cache", "limit", "1"]).exit_code == 2
    assert load_config(tmp_path) == after
