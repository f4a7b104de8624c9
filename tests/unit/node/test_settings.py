"""Settings by their names: what people write, what is kept, what is refused."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import msgspec
import pytest

from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.cache.room import CacheRoom, disk_of
from lucidnode.node.client.errors import Refused
from lucidnode.node.config import NODE_FILE, NodeConfig, change_config, load_config, save_config
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.setting_values import BadSetting, read_rate, read_size, show_rate, show_size
from lucidnode.node.settings import SETTINGS, setting

FRESH = NodeConfig(studio="s", genesis="ab" * 32, lan_key="cd" * 32, bucket_url="file:///bucket")

GOOD = {
    "collection.requests-per-day": ("5000", 5000),
    "cache.limit": ("500GB", 500 * 10**9),
    "cache.leave-free": ("20 GiB", 20 << 30),
    "uploads.room": ("1TiB", 1 << 40),
    "uploads.rate": ("20MB/s 08:00-19:30", RateLimit(20_000_000, 480, 1170)),
    "downloads.rate": ("100 Mbit/s", RateLimit(12_500_000)),
    "memory.limit": ("1 GiB", 1 << 30),
    "office.multicast": ("off", False),
    "office.rendezvous": ("no", False),
    "office.peers": ("nas:7450, 10.0.0.2:7450,nas:7450", ["nas:7450", "10.0.0.2:7450"]),
    "cache.place": ("/mnt/nvme/cache", "/mnt/nvme/cache"),
    "lan.encrypt": ("ALL", "all"),
    "office.part": ("Consume", "consume"),
    "office.interfaces": ("eth0, wlan0,eth0", ["eth0", "wlan0"]),
    "office.upload-rate": ("50MB/s", RateLimit(50_000_000)),
    "office.download-rate": ("1Gbit/s 09:00-18:00", RateLimit(125_000_000, 540, 1080)),
    "indexers.programs": (
        "usual, my-indexer*,usual",
        ["usual", "my-indexer*"],
    ),
    "indexers.per-file": ("4MiB", 4 << 20),
    "indexers.rate": ("5MB/s 08:00-19:00", RateLimit(5_000_000, 480, 1140)),
    "quiet.on-battery": ("on", True),
    "quiet.on-metered": ("off", False),
    "webhooks.urls": ("https://ci.example/hook", ["https://ci.example/hook"]),
    "ports.control": ("7450", 7450),
    "ports.bodies": ("7451", 7451),
    "ports.dashboard": ("8080", 8080),
    "dashboard.listen": ("8441", 8441),
    "lock.after": ("90 min", 5400),
    "lock.on-suspend": ("Unmount", "unmount"),
    "savings.prices": ("Cloudflare-R2", "cloudflare-r2"),
    "savings.price-per-gb": ("0.12", 0.12),
    "savings.price-per-1000-gets": ("0.0005", 0.0005),
    "savings.price-per-1000-puts": ("listed", None),
    "savings.price-per-gb-month": ("0", 0.0),
}


def test_what_is_shown_of_a_setting_can_be_written_again() -> None:
    for found in SETTINGS.values():
        text, value = GOOD[found.name]
        changed = found.changed(FRESH, found.notation.read(text))
        assert found.of(changed) == value, found.name
        assert found.of(FRESH) == found.default, found.name
        for one in (value, found.default):
            assert found.notation.read(found.notation.show(one)) == one, found.name
        assert msgspec.json.decode(msgspec.json.encode(changed), type=NodeConfig) == changed


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("0", 0),
        ("1.5 TB", 1_500_000_000_000),
        ("50G", 50 << 30),
        ("50gib", 50 << 30),
        ("50gb", 50_000_000_000),
        ("7 KiB", 7168),
        (" 12 MB ", 12_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert read_size(text) == size
    assert read_size(show_size(size)) == size


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("20MB/s", RateLimit(20_000_000)),
        ("1.5 MiB/s", RateLimit(3 << 19)),
        ("100Mbit/s", RateLimit(12_500_000)),
        ("1 gbit/s", RateLimit(125_000_000)),
        ("20MB/s 8:00-19:00", RateLimit(20_000_000, 480, 1140)),
        ("20MB/s 22:00 to 6:30", RateLimit(20_000_000, 1320, 390)),
        ("20MB/s 18:00-24:00", RateLimit(20_000_000, 1080, 0)),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, limit: RateLimit) -> None:
    assert read_rate(text) == limit
    assert read_rate(show_rate(limit)) == limit


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("collection.requests-per-day", "99"),
        ("collection.requests-per-day", "-1"),
        ("collection.requests-per-day", "1e6"),
        ("lock.after", "0h"),
        ("lock.after", "30"),
        ("lock.after", "400d"),
        ("lock.after", "-1h"),
        ("lock.on-suspend", "on"),
        ("indexers.programs", "/usr/bin/tumblerd"),
        ("indexers.programs", "two words"),
        ("indexers.programs", " , "),
        ("indexers.programs", "x" * 256),
        ("indexers.programs", "none, usual, " + ",".join(map(str, range(64)))),
        ("cache.limit", "63MiB"),
        ("cache.limit", "auto"),
        ("cache.limit", "-1"),
        ("cache.limit", "1e12"),
        ("cache.limit", "9999999TiB"),
        ("cache.limit", "50 quite"),
        ("cache.limit", ""),
        ("uploads.room", "٣GiB"),
        ("memory.limit", "127MiB"),
        ("uploads.rate", "20MB"),
        ("uploads.rate", "20MB/s 08:00"),
        ("uploads.rate", "20MB/s 08:00-08:00"),
        ("uploads.rate", "20MB/s 08:60-09:00"),
        ("uploads.rate", "20MB/s 08:00-25:00"),
        ("uploads.rate", "1Mbit/s"),
        ("uploads.rate", "1 quite/s"),
        ("downloads.rate", "0"),
        ("office.multicast", "maybe"),
        ("office.peers", "nas"),
        ("office.peers", "nas:0"),
        ("office.peers", ",".join(f"nas{n}:7450" for n in range(257))),
        ("ports.control", "0"),
        ("ports.bodies", "65536"),
        ("ports.dashboard", "any"),
        ("dashboard.listen", "443"),
        ("cache.place", " "),
        ("office.part", "all"),
        ("office.interfaces", ""),
        ("office.interfaces", "eth0/../x"),
        ("office.interfaces", "all, eth0"),
        ("quiet.on-battery", "sometimes"),
        ("webhooks.urls", "ftp://ci.example"),
        ("webhooks.urls", "https://me:word@ci.example/"),
        ("savings.prices", "a friend"),
        ("savings.price-per-gb", "-0.1"),
        ("savings.price-per-gb", "nan"),
        ("savings.price-per-gb", "free"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadSetting):
        setting(name).notation.read(text)


def test_a_misspelt_setting_is_told_what_was_meant() -> None:
    with pytest.raises(BadSetting, match=r"did you mean cache\.limit\?"):
        setting("cache.limits")
    with pytest.raises(BadSetting, match="config list"):
        setting("zzz")


def test_changes_by_several_at_once_are_all_kept(tmp_path: Path) -> None:
    save_config(tmp_path, FRESH)

    def add_peer(number: int) -> None:
        change_config(
            tmp_path,
            lambda config: msgspec.structs.replace(config, peers=[*config.peers, f"nas{number}:1"]),
        )

    threads = [threading.Thread(target=add_peer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(load_config(tmp_path).peers) == [f"nas{number}:1" for number in range(8)]


def test_settings_that_are_damaged_change_nothing_of_what_runs(tmp_path: Path) -> None:
    save_config(tmp_path, msgspec.structs.replace(FRESH, min_free=7 << 20))
    current = CurrentSettings(tmp_path, partial(msgspec.structs.replace, mdns=False))
    before = current.config, current.room
    assert (current.config.mdns, current.room.left_alone) == (False, 7 << 20)
    (tmp_path / "node.json").write_text('{"cache_limit": "much"}')
    with pytest.raises(Exception, match="damaged"):
        current.renew()
    assert (current.config, current.room) == before
    save_config(tmp_path, msgspec.structs.replace(FRESH, min_free=8 << 20, mdns=True))
    current.renew()
    assert (current.config.mdns, current.room) == (
        False,
        CacheRoom.of(FRESH.cache_limit, 8 << 20, disk_of(tmp_path).size),
    )


def test_the_page_about_settings_lists_each_as_it_is() -> None:
    page = (Path(__file__).parents[3] / "docs" / "settings.md").read_text("utf-8")
    rows = [
        f"| `{found.name}` | {found.notation.show(found.default)} | {found.effect} | {found.meaning} |"
        for found in SETTINGS.values()
    ]
    assert [line for line in page.splitlines() if line.startswith("| `")] == rows


def test_a_setting_of_a_later_release_is_named_and_nothing_is_called_damaged(
    tmp_path: Path,
) -> None:
    save_config(tmp_path, NodeConfig("s", "0" * 64, "k", "file:///b"))
    path = tmp_path / NODE_FILE
    path.write_text(path.read_text().replace("{", '{"melt_s": 5,', 1))
    with pytest.raises(Refused, match=r"has melt_s, which this version does not know: update"):
        load_config(tmp_path)
    path.write_text(path.read_text()[:5])
    with pytest.raises(Refused, match="is damaged"):
        load_config(tmp_path)
