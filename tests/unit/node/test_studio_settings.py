"""What an owner sets for the studio, and what comes of it on one workstation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lucidnode.node.client.errors import NodeError
from lucidnode.node.config import NodeConfig, load_config, prices_of, save_config
from lucidnode.node.settings import needs_anew, setting
from lucidnode.node.studio_settings import (
    MAX_SETTINGS,
    STUDIO_FILE,
    StudioSettings,
    effective_config,
    load_texts,
    of_studio,
    opened,
    overlaid,
    save_texts,
    sealed,
)

STUDIO, KEY = b"S" * 16, bytes(32)
FRESH = NodeConfig(studio="s", genesis="ab" * 32, lan_key="00" * 32, bucket_url="file:///bucket")


def nonce(count: int) -> bytes:
    return b"n" * count


def test_what_is_sealed_opens_for_the_studio_and_nobody_else(
    expected_warnings: list[str],
) -> None:
    texts = {"cache.limit": "500 GB", "of.a.later.release": "?"}
    body = sealed(texts, STUDIO, KEY, nonce)
    assert b"cache" not in body
    assert opened(body, STUDIO, KEY) == texts
    assert opened(b"", STUDIO, KEY) == {}
    for wrong in (
        opened(body, b"T" * 16, KEY),
        opened(body, STUDIO, b"\1" * 32),
        opened(body[:-1], STUDIO, KEY),
        opened(b"short", STUDIO, KEY),
        opened(sealed({"": ""}, STUDIO, KEY, nonce), STUDIO, KEY),
        opened(
            sealed({f"s{n}": "" for n in range(MAX_SETTINGS + 1)}, STUDIO, KEY, nonce), STUDIO, KEY
        ),
    ):
        assert wrong == {}
    expected_warnings.append("settings that an owner made")


def test_a_workstations_own_word_is_above_the_studios_and_that_above_the_default() -> None:
    texts = {"cache.limit": "500GB", "office.multicast": "off", "uploads.rate": "20MB/s"}
    assert overlaid(FRESH, texts).cache_limit == 500 * 10**9
    assert not overlaid(FRESH, texts).mdns
    multicast = setting("office.multicast")
    own = multicast.set_in(FRESH, True)  # the default, and said on purpose
    assert overlaid(own, texts).mdns
    assert multicast.is_set_in(own)
    assert not multicast.is_set_in(FRESH)
    assert not overlaid(multicast.unset_in(own), texts).mdns
    limit = setting("cache.limit")
    own = limit.set_in(own, 100 << 30)
    assert overlaid(own, texts).cache_limit == 100 << 30
    assert limit.unset_in(limit.set_in(own, 5 << 30)) == multicast.set_in(FRESH, True)
    assert set(limit.set_in(own, 7 << 30).own) == {"mdns"}


def test_what_an_owner_alone_may_turn_on_is_on_nowhere_else() -> None:
    listen = setting("dashboard.listen")
    by_hand = listen.changed(FRESH, 8441)
    assert overlaid(by_hand, {}).dashboard_listen is None
    texts = {"dashboard.listen": "8442"}
    assert overlaid(FRESH, texts).dashboard_listen == 8442
    assert overlaid(by_hand, texts).dashboard_listen == 8442
    off_here = listen.set_in(FRESH, None)
    assert overlaid(off_here, texts).dashboard_listen is None


@pytest.mark.parametrize(
    ("before", "own", "after"),
    [(0.09, [], None), (0.12, [], 0.12), (0.09, ["price_per_gb"], 0.09), (0.0, [], 0.0)],
)
def test_a_price_that_was_set_with_an_earlier_release_stays_and_its_default_is_the_lists(
    tmp_path: Path, before: float, own: list[str], after: float | None
) -> None:
    old = msgspec.structs.replace(FRESH, price_per_gb=before, own=own)
    save_config(tmp_path, old)
    config = load_config(tmp_path)
    assert config.price_per_gb_out == after
    assert setting("savings.price-per-gb").is_set_in(config) is (after is not None)
    on_r2 = msgspec.structs.replace(config, provider="cloudflare-r2")
    assert prices_of(on_r2).per_gb == (0.0 if after is None else after)


def test_what_this_release_cannot_use_changes_nothing_and_no_cache_is_moved_from_afar() -> None:
    texts = {
        "cache.limit": "as much as you like",
        "of.a.later.release": "on",
        "cache.place": "/etc",
        "uploads.rate": "20MB/s",
    }
    assert overlaid(FRESH, texts) == overlaid(FRESH, {"uploads.rate": "20MB/s"})
    assert set(of_studio(texts)) == {"uploads.rate", "cache.place"}


@pytest.mark.parametrize(
    ("name", "value", "anew"),
    [
        ("ports.control", 7450, True),
        ("office.part", "off", True),
        ("cache.place", "/mnt", True),
        ("cache.limit", 1 << 30, False),
        ("uploads.rate", None, False),
    ],
)
def test_the_daemon_serves_anew_for_what_it_is_built_with(
    name: str, value: object, anew: bool
) -> None:
    found = setting(name)
    assert needs_anew(FRESH, found.changed(FRESH, value)) is anew


def test_a_copy_that_is_damaged_counts_as_none(
    tmp_path: Path, expected_warnings: list[str]
) -> None:
    save_config(tmp_path, FRESH)
    assert effective_config(tmp_path) == FRESH
    save_texts(tmp_path, {"office.multicast": "off"})
    assert not effective_config(tmp_path).mdns
    assert load_config(tmp_path).mdns
    assert (tmp_path / STUDIO_FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / STUDIO_FILE).write_text('{"office.multicast": [')
    assert effective_config(tmp_path) == FRESH
    expected_warnings.append("damaged")


async def test_the_copy_follows_the_log_of_members(tmp_path: Path) -> None:
    now, heard = [b""], list[dict[str, str]]()
    save_texts(tmp_path, {"uploads.rate": "20MB/s"})

    async def changed() -> None:
        heard.append(load_texts(tmp_path))

    keeper = StudioSettings(tmp_path, STUDIO, KEY, lambda: now[0], changed)
    running = asyncio.ensure_future(keeper.run())

    async def until(met: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not met():
                await asyncio.sleep(0.01)

    try:
        await until(lambda: heard == [{}])  # at the start, what was there is what the log says
        keeper.roster_changed()
        now[0] = sealed({"cache.limit": "1TB"}, STUDIO, KEY, nonce)
        keeper.roster_changed()
        await until(lambda: len(heard) == 2)
        keeper.roster_changed()
        await asyncio.sleep(0.05)
        assert heard == [{}, {"cache.limit": "1TB"}]
    finally:
        running.cancel()
        await asyncio.wait({running})


def test_settings_of_a_home_with_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="no studio"):
        effective_config(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(FRESH), type=NodeConfig) == FRESH
