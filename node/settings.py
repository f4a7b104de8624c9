"""What people may set on a workstation: every setting by its name, with what it means.

Each is a field of `NodeConfig`; the default there is the default here. People write values as in
`50GiB`, `on`, `192.168.7.20:7450, nas:7450`; `node.json` holds them as numbers and lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

import msgspec

from lucidnode.node.blocks.indexers import USUAL, USUAL_WORD, WAIT_S
from lucidnode.node.cache.room import WORKING_ROOM_BYTES
from lucidnode.node.config import USUAL_BODY_PORT, USUAL_CONTROL_PORT, NodeConfig
from lucidnode.node.prices import PROVIDERS
from lucidnode.node.setting_values import (
    DIRECTORY,
    DURATION,
    ENCRYPTION,
    INTERFACES,
    LEAST_REQUESTS,
    ON_SUSPEND,
    PART,
    PEERS,
    PORT,
    PORT_FOR_OTHERS,
    PRICE,
    PROGRAMS,
    PROVIDER,
    RATE,
    RECEIVERS,
    REQUESTS,
    SIZE,
    SWITCH,
    USUAL_OR_PORT,
    BadSetting,
    Notation,
    at_least,
    show_size,
)

LEAST_CACHE_BYTES: Final = WORKING_ROOM_BYTES
"""Holds what a mount works with, and little else."""

LEAST_MEMORY_BYTES: Final = 128 * 1024 * 1024
"""A mount that has three eighths of it for what is not saved yet goes on with blocks of 16 MiB."""

SETTINGS_CHANGED: Final = "settings/changed"
"""What a daemon is told then (node/orders.py)."""

AT_ONCE: Final = "at once"
NEXT_MOUNT: Final = "for projects mounted from now on"
MOVED: Final = "when it has moved; nothing may be mounted meanwhile"
ANEW: Final = "at once: the daemon serves anew, and mounts wait for a moment"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    field: str
    """Of `NodeConfig`."""
    meaning: str
    takes: str
    """What may be written, in words."""
    effect: str
    """When a change counts: AT_ONCE, NEXT_MOUNT, MOVED or ANEW."""
    notation: Notation
    of_one: bool = False
    """Of one workstation only: nobody sets it for others."""
    of_studio: bool = False
    """For an owner to set, for all; a workstation can only have it off, its default."""

    @property
    def default(self) -> Any:
        """Return its value where nothing was set."""
        return _DEFAULTS[self.field]

    def of(self, config: NodeConfig) -> Any:
        """Return its value in *config*."""
        return getattr(config, self.field)

    def shown_in(self, config: NodeConfig) -> str:
        """Return its value in *config* as people write it."""
        return self.notation.show(self.of(config))

    def changed(self, config: NodeConfig, value: Any) -> NodeConfig:
        """Return *config* with *value* for this setting."""
        return msgspec.structs.replace(config, **{self.field: value})

    def is_set_in(self, config: NodeConfig) -> bool:
        """Tell whether it was set on this workstation."""
        return self.field in config.own or self.of(config) != self.default

    def set_in(self, config: NodeConfig, value: Any) -> NodeConfig:
        """Return *config* in which it was set to *value* on this workstation, whatever others set."""
        others = [field for field in config.own if field != self.field]
        own = [*others, self.field] if value == self.default else others
        return msgspec.structs.replace(self.changed(config, value), own=own)

    def unset_in(self, config: NodeConfig) -> NodeConfig:
        """Return *config* in which it was not set on this workstation."""
        others = [field for field in config.own if field != self.field]
        return msgspec.structs.replace(self.changed(config, self.default), own=others)


def needs_anew(before: NodeConfig, after: NodeConfig) -> bool:
    """Tell whether the daemon has to serve anew for what is different in *after*."""
    return before.cache_dir != after.cache_dir or any(
        found.of(before) != found.of(after) for found in SETTINGS.values() if found.effect == ANEW
    )


def setting(name: str) -> Setting:
    """Return the setting called *name*. Raises BadSetting, with what may have been meant."""
    found = SETTINGS.get(name)
    if found is None:
        meant = get_close_matches(name, SETTINGS, n=1)
        hint = f"did you mean {meant[0]}?" if meant else "`lucidnode config list` names them all"
        raise BadSetting(f"there is no setting {name}: {hint}")
    return found


_A_SIZE = "a size, such as 50GiB or 500GB"
_A_RATE = "a rate, such as 20MB/s or 100Mbit/s, with hours if it is not for all day (20MB/s 08:00-19:00), or unlimited"

SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {
        found.name: found
        for found in (
            Setting(
                "cache.limit",
                "cache_limit",
                "The most that the block cache holds; on a disk with less room it holds less. The "
                "share of the office's blocks that this workstation keeps follows at the next start.",
                f"{_A_SIZE}; at least {show_size(LEAST_CACHE_BYTES)}",
                AT_ONCE,
                at_least(LEAST_CACHE_BYTES),
            ),
            Setting(
                "cache.leave-free",
                "min_free",
                "What the cache leaves free on its disk for others: it shrinks, and then writing "
                "stops, rather than leave less.",
                f"{_A_SIZE}, or auto: by the size of the disk",
                AT_ONCE,
                SIZE.or_none("auto"),
            ),
            Setting(
                "cache.place",
                "cache_dir",
                "Where the block cache lies. What it holds moves over, what waits for its upload included.",
                "a directory on this workstation, or auto: in its home directory",
                MOVED,
                DIRECTORY.or_none("auto"),
                of_one=True,
            ),
            Setting(
                "uploads.room",
                "staging_limit",
                "How much may wait on this disk for its upload before programs that write are told "
                "that the disk is full.",
                f"{_A_SIZE}; at least {show_size(LEAST_CACHE_BYTES)}",
                NEXT_MOUNT,
                at_least(LEAST_CACHE_BYTES),
            ),
            Setting(
                "uploads.rate",
                "upload_limit",
                "What blocks on their way to the bucket may take of the line. Small saves go first, and "
                "what is not a block never waits.",
                _A_RATE,
                AT_ONCE,
                RATE,
            ),
            Setting(
                "downloads.rate",
                "download_limit",
                "What blocks from the bucket may take of the line; those from the office are not held back. "
                "Programs that read wait for it as well.",
                _A_RATE,
                AT_ONCE,
                RATE,
            ),
            Setting(
                "office.part",
                "part",
                "What this workstation does with others of the office: serve takes blocks from them and "
                "keeps some for them; consume only takes, and nobody is told of it; off does neither, "
                "and everything comes from the bucket.",
                "serve, consume or off",
                ANEW,
                PART,
            ),
            Setting(
                "lan.encrypt",
                "lan_encrypt",
                "What goes between workstations within TLS: control is all but blocks, which are "
                "ciphertext; all is blocks as well, with those alone that have it too.",
                "control or all",
                ANEW,
                ENCRYPTION,
            ),
            Setting(
                "office.interfaces",
                "interfaces",
                "The network interfaces over which this workstation is found and reached by others.",
                "names as in `ip link`, with commas between them, or all",
                ANEW,
                INTERFACES,
            ),
            Setting(
                "office.upload-rate",
                "office_upload_limit",
                "What blocks for others of the office may take of this workstation's link to the LAN.",
                _A_RATE,
                AT_ONCE,
                RATE,
            ),
            Setting(
                "office.download-rate",
                "office_download_limit",
                "What blocks from others of the office may take of it. Programs that read wait for it as well.",
                _A_RATE,
                AT_ONCE,
                RATE,
            ),
            Setting(
                "indexers.programs",
                "indexers",
                "Programs that look into every file unasked, for thumbnails and search: they have no "
                "read-ahead, and of the bucket only what the two settings below allow. What is in the "
                f"cache or at a colleague's is theirs. {USUAL_WORD} stands for {', '.join(USUAL)}.",
                f"names of programs, * in them for anything, with commas between them ({USUAL_WORD}, "
                "my-indexer), or none: no program is held back",
                AT_ONCE,
                PROGRAMS,
            ),
            Setting(
                "indexers.per-file",
                "indexer_per_file",
                "How much of a file such a program may have from the bucket each time that it opens it, the "
                "first block in any case; reading on is an error for it.",
                f"{_A_SIZE}, or unlimited",
                AT_ONCE,
                SIZE.or_none("unlimited"),
            ),
            Setting(
                "indexers.rate",
                "indexer_rate",
                "What all such programs together may take of the line to the bucket. They wait for their turn, "
                f"and get an error after {WAIT_S:.0f} seconds.",
                _A_RATE,
                AT_ONCE,
                RATE,
            ),
            Setting(
                "quiet.on-battery",
                "quiet_on_battery",
                "Whether this workstation does only what programs here ask for while it runs on its "
                "battery: it serves nobody, and what is pinned waits.",
                "on or off",
                AT_ONCE,
                SWITCH,
            ),
            Setting(
                "quiet.on-metered",
                "quiet_on_metered",
                "The same while its connection is one that is paid for by volume, as NetworkManager "
                "says (a phone's, a hotel's): it serves nobody, and what is pinned waits.",
                "on or off",
                AT_ONCE,
                SWITCH,
            ),
            Setting(
                "memory.limit",
                "memory_limit",
                "The most of your content that the daemon, and each mount, hold in memory: what peers "
                "send and take, what programs wrote and is not saved yet, what was read lately. Mounts take "
                "it when they are mounted.",
                f"{_A_SIZE}; at least {show_size(LEAST_MEMORY_BYTES)}",
                ANEW,
                at_least(LEAST_MEMORY_BYTES),
            ),
            Setting(
                "office.multicast",
                "mdns",
                "Whether this workstation announces itself on the LAN and looks for others there.",
                "on or off",
                ANEW,
                SWITCH,
            ),
            Setting(
                "office.rendezvous",
                "rendezvous",
                "Whether workstations of one place find each other through the bucket as well, across "
                "VLANs for instance: each leaves its addresses there, sealed for the studio.",
                "on or off",
                ANEW,
                SWITCH,
            ),
            Setting(
                "office.peers",
                "peers",
                "Workstations that multicast cannot reach, in another VLAN for instance.",
                "addresses HOST:PORT with commas between them, or none",
                AT_ONCE,
                PEERS,
            ),
            Setting(
                "ports.control",
                "control_port",
                "The port on which other workstations reach this one; a firewall must let it in. "
                f"auto takes {USUAL_CONTROL_PORT}, and another if a program has that.",
                f"a port, or auto: {USUAL_CONTROL_PORT}, or another if a program has that",
                ANEW,
                USUAL_OR_PORT,
            ),
            Setting(
                "ports.bodies",
                "body_port",
                "The port over which other workstations fetch blocks; a firewall must let it in. "
                f"auto takes {USUAL_BODY_PORT}, and another if a program has that.",
                f"a port, or auto: {USUAL_BODY_PORT}, or another if a program has that",
                ANEW,
                USUAL_OR_PORT,
            ),
            Setting(
                "ports.dashboard",
                "dashboard_port",
                "The port of the dashboard, which listens on this workstation alone.",
                "a port, or auto: the usual one, or another if a program has that",
                ANEW,
                PORT.or_none("auto"),
            ),
            Setting(
                "dashboard.listen",
                "dashboard_listen",
                "Whether members of the studio can open the dashboard of each other's workstations, over TLS "
                "and with `lucidnode dashboard --node NAME`: the port for it, which a firewall must let in. "
                "An owner turns it on, for all; a workstation can have it off for itself.",
                "a port, such as 8441, or off",
                ANEW,
                PORT_FOR_OTHERS.or_none("off"),
                of_studio=True,
            ),
            Setting(
                "webhooks.urls",
                "webhooks",
                "Who is told, without names, of what this workstation commits; `lucidnode webhook add` is for "
                "one workstation that tells all of it, with names if wanted.",
                "addresses https://HOST/PATH with commas between them, or none",
                ANEW,
                RECEIVERS,
            ),
            Setting(
                "collection.requests-per-day",
                "collection_requests",
                "How many requests a day this workstation makes for a project to free what nothing in "
                "it needs any more, if it is its turn: lists, deletes and writes; ten reads count as one.",
                f"a number, {LEAST_REQUESTS} at least, or off: it is left to others",
                NEXT_MOUNT,
                REQUESTS,
            ),
            Setting(
                "lock.after",
                "lock_after_s",
                "For how long nobody may have used the keys of an unlocked workstation before it locks "
                "itself, as `lucidnode lock` does. Sleep counts.",
                "a time, such as 30min, 8h or 2d, or never",
                AT_ONCE,
                DURATION.or_none("never"),
            ),
            Setting(
                "lock.on-suspend",
                "lock_on_suspend",
                "What is done before the machine sleeps: nothing, what `lucidnode lock` does, or what "
                "`lucidnode lock --unmount` does, after which no key is in its memory.",
                "no, lock or unmount",
                AT_ONCE,
                ON_SUSPEND,
            ),
            Setting(
                "savings.prices",
                "provider",
                "Whose list prices the savings are reckoned by; own has none but those that are set below.",
                f"one of {', '.join(PROVIDERS)}",
                AT_ONCE,
                PROVIDER,
            ),
            Setting(
                "savings.price-per-gb",
                "price_per_gb_out",
                "What a gigabyte out of the bucket costs, as its provider counts them, in dollars, for the savings.",
                "a price, such as 0.09, or listed: as the provider lists it",
                AT_ONCE,
                PRICE,
            ),
            Setting(
                "savings.price-per-1000-gets",
                "price_per_1000_gets",
                "What a thousand requests that read cost, in dollars.",
                "a price, such as 0.0004, or listed: as the provider lists it",
                AT_ONCE,
                PRICE,
            ),
            Setting(
                "savings.price-per-1000-puts",
                "price_per_1000_puts",
                "What a thousand requests that write cost, in dollars.",
                "a price, such as 0.005, or listed: as the provider lists it",
                AT_ONCE,
                PRICE,
            ),
            Setting(
                "savings.price-per-gb-month",
                "price_per_gb_month",
                "What a gigabyte costs that lies in the bucket for a month, in dollars.",
                "a price, such as 0.023, or listed: as the provider lists it",
                AT_ONCE,
                PRICE,
            ),
        )
    }
)

_DEFAULTS: Final[Mapping[str, Any]] = {
    field.name: field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    for field in msgspec.structs.fields(NodeConfig)
    if not field.required
}
