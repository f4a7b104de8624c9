"""What the daemon knows of itself between starts: `node.json` in the home directory, mode 0600.

It holds no key that decrypts content or names. Credentials of the bucket are a file of their own,
so that one can be rotated without the other.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from lucidnode.node import sealed_file
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.pace import RateLimit
from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed, Refused
from lucidnode.node.client.json_text import json_in
from lucidnode.node.prices import LISTS, PriceList, Provider

GIB = 1024**3

DEFAULT_CACHE_BYTES = 100 * GIB

NODE_FILE = "node.json"
BUCKET_FILE = "bucket.json"
DEVICE_FILE = "device.pem"
MEMBER_FILE = "member.json"
LOCK_FILE = "daemon.lock"
CHANGING_FILE = "node.lock"
"""Held by who changes the settings."""
LOG_FILE = "daemon.log"

USUAL_CONTROL_PORT = 7450
USUAL_BODY_PORT = 7451
"""Where a workstation is reached for which nobody has chosen ports, unless a program has one of them."""

_LAN_KEY = "lan_key"

_AS_BEFORE = "price_per_gb"
"""A file that has it was written by a release that wrote every field, chosen or not."""

_NO_SETTINGS = frozenset({"own"})

_UNKNOWN = re.compile(r"unknown field `(\w{1,64})`")
"""What msgspec says of a setting of a later release, or of one that somebody has mistyped."""


Part = Literal["serve", "consume", "off"]

Encryption = Literal["control", "all"]
"""What a workstation does with others of its office."""


class NoStudio(Refused):
    """This home belongs to no studio yet."""


OnSuspend = Literal["no", "lock", "unmount"]


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one workstation. Sizes are bytes."""

    studio: str
    genesis: str
    """Hash of roster entry 1 as 64 hex digits: what every later entry must descend from."""
    lan_key: str
    """32 random bytes as hex, shared by the studio's nodes: recognises their announcements. Sealed
    under the node key, if there is one: `lan_key_of` opens it."""
    bucket_url: str
    endpoint_url: str | None = None
    region: str | None = None
    authorities: str | None = None
    """Certificates in PEM that TLS trusts beside the system's: a private authority's."""
    role_credentials: str | None = None
    """Which credentials that an owner gave our role were used last: the role, `/`, and their number."""
    cache_dir: str | None = None
    """Absolute path; None keeps the cache in the home directory."""
    cache_id: str | None = None
    """What the cache directory must carry to be it (node/cache/mark.py); None before the first start."""
    cache_limit: int = DEFAULT_CACHE_BYTES
    """Most that the cache holds; less where the disk has not so much (node/cache/room.py)."""
    min_free: int | None = None
    """The cache shrinks, and writing stops, rather than leave the disk with less than this; None goes
    by the size of the disk (node/cache/room.py)."""
    staging_limit: int = 50 * GIB
    """Bytes that may wait for their upload before writers are told the disk is full."""
    memory_limit: int = 512 * 1024 * 1024
    """Bytes of content that the daemon, and each mount, may hold in memory."""
    upload_limit: RateLimit | None = None
    download_limit: RateLimit | None = None
    """What blocks may take of the line to the bucket, each way."""
    body_port: int = 0
    control_port: int = 0
    """0 takes the usual port, or any free one if another program has that."""
    dashboard_port: int | None = None
    """None takes the usual port, or any free one if another program has that."""
    dashboard_listen: int | None = None
    """The port on which colleagues' browsers reach the dashboard; None, also where an owner has set one."""
    part: Part = "serve"
    interfaces: list[str] = []
    """Those over which others find and reach this one, by name; empty for all."""
    office_upload_limit: RateLimit | None = None
    office_download_limit: RateLimit | None = None
    """What blocks may take of the link to the office, each way."""
    quiet_on_battery: bool = False
    quiet_on_metered: bool = True
    mdns: bool = True
    rendezvous: bool = True
    indexers: list[str] = msgspec.field(default_factory=lambda: ["usual"])
    """Patterns of names of programs that are held to what is cheap (node/blocks/indexers.py)."""
    indexer_per_file: int | None = 16 * 1024 * 1024
    """Bytes from the bucket that such a program may have of one file each time that it opens it."""
    indexer_rate: RateLimit | None = RateLimit(2_000_000)
    """What all of them may take of the line to the bucket."""
    lan_encrypt: Encryption = "control"
    """What goes between workstations within TLS: all but blocks, which are ciphertext, or blocks too."""
    peers: list[str] = []
    """Control addresses HOST:PORT of peers that multicast cannot reach."""
    webhooks: list[str] = []
    """URLs told of every committed journal entry, by project id and number."""
    collection_requests: int = 20_000
    """Requests a day for finding and deleting what a project needs no more; 0 leaves it to others."""
    lock_after_s: int | None = None
    """Keys that nobody has used for as long are locked; None never locks."""
    lock_on_suspend: OnSuspend = "no"
    """What is done before the machine sleeps (lucidnode/cli/sleep_watch.py)."""
    provider: Provider = "aws-s3"
    """Whose list prices savings are reckoned by (node/prices.py); what follows is above the list, in dollars."""
    price_per_gb_out: float | None = None
    price_per_1000_gets: float | None = None
    price_per_1000_puts: float | None = None
    price_per_gb_month: float | None = None
    price_per_gb: float = 0.09
    """As earlier releases have it, where none was the price of one list; `load_config` carries it over."""
    own: list[str] = []
    """Fields that were set here to their defaults, against what an owner sets for the studio."""


def prices_of(config: NodeConfig) -> PriceList:
    """Return the prices that *config* reckons by."""
    return LISTS[config.provider].changed(
        {
            "per_gb": config.price_per_gb_out,
            "per_1000_gets": config.price_per_1000_gets,
            "per_1000_puts": config.price_per_1000_puts,
            "per_gb_month": config.price_per_gb_month,
        }
    )


def load_config(home: Path) -> NodeConfig:
    """Read the settings in *home*. Raises NoStudio when there are none, Refused for damaged ones."""
    try:
        raw = (home / NODE_FILE).read_bytes()
    except FileNotFoundError:
        raise NoStudio(
            f"this workstation belongs to no studio yet ({home} has no {NODE_FILE}): "
            "run `lucidnode init` or `lucidnode join`"
        ) from None
    try:
        config = json_in(raw, NodeConfig)
        written = json_in(raw, dict[str, Any]).keys()
        return _carried_over(config) if _AS_BEFORE in written else _as_chosen(config, written)
    except Malformed as error:
        if (unknown := _UNKNOWN.search(str(error))) is not None:
            raise Refused(
                f"{home / NODE_FILE} has {unknown[1]}, which this version does not know: update "
                "Lucidnode, or take it out"
            ) from error
        raise Refused(f"{home / NODE_FILE} is damaged: {error}") from error


def _as_chosen(config: NodeConfig, written: Iterable[str]) -> NodeConfig:
    """Return *config* with whatever was *written* as chosen, though it may be the default by now."""
    default = {name for name, value in _defaults(config) if getattr(config, name) == value}
    chosen = [name for name in written if name in default - _NO_SETTINGS - set(config.own)]
    return msgspec.structs.replace(config, own=[*config.own, *chosen]) if chosen else config


def _defaults(config: NodeConfig) -> Iterator[tuple[str, Any]]:
    """Yield the fields that need not be written, each with its default."""
    for field in msgspec.structs.fields(config):
        if field.default is not msgspec.NODEFAULT:
            yield field.name, field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            yield field.name, field.default_factory()


def _carried_over(config: NodeConfig) -> NodeConfig:
    """Return *config* with a price that somebody set with an earlier release where it belongs now."""
    [former] = [
        each.default for each in msgspec.structs.fields(NodeConfig) if each.name == "price_per_gb"
    ]
    was_set = config.price_per_gb != former or "price_per_gb" in config.own
    if not was_set:
        return config
    return msgspec.structs.replace(
        config,
        price_per_gb_out=config.price_per_gb,
        price_per_gb=former,
        own=[field for field in config.own if field != "price_per_gb"],
    )


def save_config(home: Path, config: NodeConfig) -> None:
    """Write the settings into *home*, whole or not at all. Raises DiskFull, OSError.

    What nobody chose is left out: it follows the defaults of each release, and an earlier release, which
    refuses what it does not know, reads a home as long as no later setting is used there.
    """
    left_out = {name for name, value in _defaults(config) if getattr(config, name) == value}
    kept = {
        name: value
        for name, value in msgspec.structs.asdict(config).items()
        if name not in left_out or name in config.own
    }
    write_durably(home / NODE_FILE, msgspec.json.format(msgspec.json.encode(kept)))


def change_config(home: Path, change: Callable[[NodeConfig], NodeConfig]) -> NodeConfig:
    """Replace the settings in *home* by what *change* makes of them; returns these.

    Commands and the daemon may change different settings at once, and none is lost. Blocking.
    Raises as `load_config` and `save_config`, and what *change* raises; then nothing is written.
    """
    descriptor = os.open(home / CHANGING_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = load_config(home)
        after = change(before)
        if after != before:
            save_config(home, after)
        return after
    finally:
        os.close(descriptor)


def lan_key_of(home: Path, config: NodeConfig) -> bytes:
    """Return the LAN key in the settings of *home*. Raises Locked, and Refused if it is damaged."""
    try:
        return bytes.fromhex(sealed_file.opened_text(home, _LAN_KEY, config.lan_key))
    except ValueError as error:
        raise Refused(f"the LAN key in {home / NODE_FILE} is damaged") from error


def kept_lan_key(home: Path, lan_key: bytes) -> str:
    """Return *lan_key* as the settings of *home* hold it. Raises Locked."""
    return sealed_file.sealed_text(home, _LAN_KEY, lan_key.hex())


def cache_directory(home: Path, config: NodeConfig) -> Path:
    """Return where this node keeps its blocks."""
    return Path(config.cache_dir) if config.cache_dir else home / "cache"


def load_credentials(home: Path) -> Credentials | None:
    """Read the bucket's credentials in *home*; None if the machine's own are used.

    Raises Locked, Refused.
    """
    try:
        raw = sealed_file.read(home / BUCKET_FILE)
    except FileNotFoundError:
        return None
    try:
        return json_in(raw, Credentials)
    except Malformed as error:
        raise Refused(f"{home / BUCKET_FILE} is damaged: not JSON of credentials") from error


def save_credentials(home: Path, credentials: Credentials) -> None:
    """Write *credentials* into *home*, sealed, whole or not at all. Raises Locked, DiskFull, OSError."""
    sealed_file.write(home / BUCKET_FILE, msgspec.json.encode(credentials))


def keep_role_credentials(home: Path, given: Credentials, name: str) -> None:
    """Use *given* in the place of the credentials in *home*, and note that they are the set *name*.

    Blocking. Raises DiskFull, OSError. If it breaks off between the two, it is done again.
    """
    save_credentials(home, given)
    change_config(home, lambda config: msgspec.structs.replace(config, role_credentials=name))
