"""`node.json`: what an earlier release wrote opens, and what is written now holds only what was chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import NODE_FILE, NodeConfig, load_config, save_config
from lucidnode.node.settings import SETTINGS
from lucidnode.node.studio_settings import overlaid

BEFORE = """{
  "studio": "s", "genesis": "ab", "lan_key": "cd", "bucket_url": "s3://b/p",
  "endpoint_url": "http://127.0.0.1:9000", "region": "eu", "authorities": null,
  "role_credentials": null, "cache_dir": null, "cache_id": "ef", "cache_limit": 107374182400,
  "min_free": null, "staging_limit": 53687091200, "memory_limit": 536870912, "upload_limit": null,
  "download_limit": null, "body_port": 0, "control_port": 0, "dashboard_port": null,
  "dashboard_listen": null, "part": "serve", "interfaces": [], "office_upload_limit": null,
  "office_download_limit": null, "quiet_on_battery": false, "quiet_on_metered": true,
  "mdns": false, "rendezvous": true, "indexers": ["usual"], "indexer_per_file": 16777216,
  "indexer_rate": {"rate": 2000000, "begins": 0, "ends": 0}, "lan_encrypt": "control",
  "peers": [], "webhooks": [], "collection_requests": 20000, "lock_after_s": null,
  "lock_on_suspend": "no", "provider": "aws-s3", "price_per_gb_out": 0.05,
  "price_per_1000_gets": null, "price_per_1000_puts": null, "price_per_gb_month": null,
  "price_per_gb": 0.09, "own": ["memory_limit"]
}"""
"""As the release before wrote it: every field, chosen or not. `mdns` is off, and memory.limit was set to
what is the default. Whoever changes a default sees it here, in a home in which nobody chose it: have
`load_config` take the former one in such a file for not chosen."""

NOW = """{
  "studio": "s",
  "genesis": "ab",
  "lan_key": "cd",
  "bucket_url": "s3://b/p",
  "endpoint_url": "http://127.0.0.1:9000",
  "region": "eu",
  "cache_id": "ef",
  "memory_limit": 536870912,
  "mdns": false,
  "price_per_gb_out": 0.05,
  "own": [
    "memory_limit"
  ]
}"""
"""The same, as it is written now."""

CHOSEN = {"memory.limit", "office.multicast", "savings.price-per-gb"}


def chosen(config: NodeConfig) -> set[str]:
    return {found.name for found in SETTINGS.values() if found.is_set_in(config)}


@pytest.mark.parametrize("written", [BEFORE, NOW], ids=["before", "now"])
def test_a_home_opens_as_it_was_written_then_and_now(tmp_path: Path, written: str) -> None:
    (tmp_path / NODE_FILE).write_text(written)
    config = load_config(tmp_path)
    assert chosen(config) == CHOSEN
    assert (config.mdns, config.price_per_gb_out, config.memory_limit) == (False, 0.05, 512 << 20)
    save_config(tmp_path, config)
    assert (tmp_path / NODE_FILE).read_text() == NOW
    assert load_config(tmp_path) == config


def test_an_earlier_release_reads_a_home_in_which_nothing_is_set_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    fields: Any = [
        (field.name, field.type) if field.required else (field.name, field.type, None)
        for field in msgspec.structs.fields(NodeConfig)
        if field.name not in {"price_per_gb_out", "indexer_rate", "lock_on_suspend"}
    ]
    earlier = msgspec.defstruct("Earlier", fields, forbid_unknown_fields=True)
    config = NodeConfig(studio="s", genesis="ab", lan_key="cd", bucket_url="file:///b")
    save_config(tmp_path, config)
    assert json.loads((tmp_path / NODE_FILE).read_bytes()).keys() == {
        "studio", "genesis", "lan_key", "bucket_url",
    }  # fmt: skip
    msgspec.json.decode((tmp_path / NODE_FILE).read_bytes(), type=earlier)
    save_config(tmp_path, msgspec.structs.replace(config, lock_on_suspend="lock"))
    with pytest.raises(msgspec.ValidationError, match="lock_on_suspend"):
        msgspec.json.decode((tmp_path / NODE_FILE).read_bytes(), type=earlier)


@pytest.mark.parametrize("found", SETTINGS.values(), ids=lambda found: found.name)
def test_what_was_chosen_stays_chosen_also_when_it_is_the_default(
    tmp_path: Path, found: Any
) -> None:
    fresh = NodeConfig(studio="s", genesis="ab", lan_key="cd", bucket_url="file:///b")
    save_config(tmp_path, found.set_in(fresh, found.default))
    written = json.loads((tmp_path / NODE_FILE).read_bytes())
    assert found.field in written, "a later release may have another default"
    del written["own"]  # as an earlier default was written that is the default now
    (tmp_path / NODE_FILE).write_text(json.dumps(written))
    assert chosen(load_config(tmp_path)) == {found.name}
    save_config(tmp_path, found.unset_in(load_config(tmp_path)))
    assert load_config(tmp_path) == fresh


def test_what_an_owner_sets_holds_where_nothing_was_chosen_whoever_wrote_the_home(
    tmp_path: Path,
) -> None:
    texts = {"collection.requests-per-day": "5000", "memory.limit": "1GiB", "uploads.rate": "1MB/s"}
    for written in (BEFORE, NOW):
        (tmp_path / NODE_FILE).write_text(written)
        config = overlaid(load_config(tmp_path), texts)
        assert config.collection_requests == 5000
        assert config.memory_limit == 512 << 20
        assert config.upload_limit == RateLimit(1_000_000)


def test_a_setting_of_a_later_release_is_named(tmp_path: Path) -> None:
    (tmp_path / NODE_FILE).write_text(NOW.replace('"mdns"', '"of_next_year"'))
    with pytest.raises(Refused, match="has of_next_year, which this version does not know: update"):
        load_config(tmp_path)
