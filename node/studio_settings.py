"""The settings that an owner makes for the whole studio, and what comes of them on one workstation.

They travel in the log of members (docs/format.md, "Settings of a studio"), sealed under a key made of
the studio's LAN key, which every daemon has: nobody but the studio's workstations reads them. Each is
a name and a text, as a person writes it; a name that this release does not know is kept and not used.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lucidnode.node.client.durable import write_durably
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.json_text import json_in
from lucidnode.node.config import NodeConfig, load_config
from lucidnode.node.setting_values import BadSetting
from lucidnode.node.settings import SETTINGS

log = logging.getLogger(__name__)

STUDIO_FILE = "studio.json"
"""In the home directory: what the daemon read last, for its next start and for commands."""

MAX_SETTINGS = 256
_NONCE_BYTES = 12

Texts = dict[
    Annotated[str, msgspec.Meta(min_length=1, max_length=64)],
    Annotated[str, msgspec.Meta(max_length=2048)],
]
"""Settings by name, as people write their values."""

_DECODER: msgspec.msgpack.Decoder[dict[str, str]] = msgspec.msgpack.Decoder(
    Annotated[Texts, msgspec.Meta(max_length=MAX_SETTINGS)]
)


def sealed(
    texts: Mapping[str, str], studio: bytes, lan_key: bytes, random_bytes: Callable[[int], bytes]
) -> bytes:
    """Return *texts* for the log of members of *studio*."""
    nonce = random_bytes(_NONCE_BYTES)
    said = msgspec.msgpack.encode(dict(sorted(texts.items())))
    return nonce + _cipher(lan_key).encrypt(nonce, said, studio)


def opened(body: bytes, studio: bytes, lan_key: bytes) -> dict[str, str]:
    """Return what `sealed` sealed; nothing if it was sealed wrongly, or nothing was."""
    if not body:
        return {}
    try:
        said = _cipher(lan_key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], studio)
        return _DECODER.decode(said)
    except (InvalidTag, ValueError, msgspec.MsgspecError) as error:
        log.warning("the settings that an owner made for the studio cannot be read: %s", error)
        return {}


def overlaid(config: NodeConfig, texts: Mapping[str, str]) -> NodeConfig:
    """Return *config* with what *texts* say of settings that were not made on this workstation.

    What cannot be read, as a later release may have written it, is left out.
    """
    for found in SETTINGS.values():
        # What an owner alone may turn on is on nowhere else, whatever a file here says.
        if found.of_studio and found.of(config) != found.default:
            config = found.unset_in(config)
    for name, value in _values(texts):
        found = SETTINGS[name]
        if not found.of_one and not found.is_set_in(config):
            config = found.changed(config, value)
    return config


def of_studio(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the settings that *texts* has, by name; without what cannot be read here."""
    return dict(_values(texts))


def load_texts(home: Path) -> dict[str, str]:
    """Return the studio's settings as this workstation read them last; none if it never did. Blocking."""
    try:
        return json_in((home / STUDIO_FILE).read_bytes(), Texts)
    except FileNotFoundError:
        return {}
    except Malformed as error:
        log.warning("%s is damaged, and made anew soon: %s", home / STUDIO_FILE, error)
        return {}


def save_texts(home: Path, texts: Mapping[str, str]) -> None:
    """Keep *texts* in *home*, mode 0600, whole or not at all. Blocking. Raises DiskFull, OSError."""
    write_durably(home / STUDIO_FILE, json.dumps(dict(texts), indent=2).encode())


class StudioSettings:
    """Keeps the home's copy of what owners set for the studio as the log of members has it.

    *sealed_now* returns the settings of the newest roster; *changed* is awaited after each change here.
    """

    def __init__(
        self,
        home: Path,
        studio: bytes,
        lan_key: bytes,
        sealed_now: Callable[[], bytes],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._home = home
        self._studio = studio
        self._lan_key = lan_key
        self._sealed_now = sealed_now
        self._changed = changed
        self._news = asyncio.Event()
        self._news.set()

    def roster_changed(self) -> None:
        """Look soon: there is another roster."""
        self._news.set()

    async def run(self) -> NoReturn:
        """Follow until cancelled. Raises DiskFull, OSError if the copy cannot be kept."""
        while True:
            await self._news.wait()
            self._news.clear()
            texts = opened(self._sealed_now(), self._studio, self._lan_key)
            if texts != await asyncio.to_thread(load_texts, self._home):
                await asyncio.to_thread(save_texts, self._home, texts)
                log.info("an owner has changed the settings of the studio")
                await self._changed()


def effective_config(home: Path) -> NodeConfig:
    """Return what this workstation goes by: its own settings, else the studio's, else the defaults.

    Blocking. Raises as `load_config`.
    """
    return overlaid(load_config(home), load_texts(home))


def _values(texts: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in texts.items():
        found = SETTINGS.get(name)
        if found is None:
            continue
        try:
            yield name, found.notation.read(text)
        except BadSetting as error:
            log.info("the studio's setting %s is not used here: %s", name, error)


def _cipher(lan_key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(lan_key, b"studio settings", "sha256"))
