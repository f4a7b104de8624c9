"""What commands have the daemon do, beyond answering: each order by the word that is sent for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from lucidnode.discovery.candidate import parse_peer
from lucidnode.node import sealed_file
from lucidnode.node.blocks.uploads import Uploads
from lucidnode.node.bucket.health import BucketHealth
from lucidnode.node.bucket.session import CurrentCredentials
from lucidnode.node.cache.disk import DiskCache
from lucidnode.node.client.errors import Refused
from lucidnode.node.client.kept import mounted
from lucidnode.node.config import load_credentials
from lucidnode.node.current_settings import CurrentSettings
from lucidnode.node.mounts import MountTable
from lucidnode.node.peers.network import PeerNetwork
from lucidnode.node.settings import SETTINGS_CHANGED, needs_anew


class Orders:
    """Carries out orders. *stop* ends the daemon; *anew* has it serve anew, as it does at its start."""

    def __init__(
        self,
        *,
        home: Path,
        settings: CurrentSettings,
        office: PeerNetwork,
        cache: DiskCache,
        uploads: Uploads,
        mounts: MountTable,
        signed_with: CurrentCredentials,
        health: BucketHealth,
        begin_probe: Callable[[], None],
        stop: Callable[[], None],
        anew: Callable[[], None],
    ) -> None:
        self._home = home
        self._settings = settings
        self._office = office
        self._cache = cache
        self._uploads = uploads
        self._mounts = mounts
        self._signed_with = signed_with
        self._health = health
        self._begin_probe = begin_probe
        self._stop = stop
        self._anew = anew

    def by_word(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return each order by what `DaemonOrders.give` sends for it."""
        return {
            "bucket/probe": self.probe_bucket,
            "cache/clear": self.clear_cache,
            "credentials/renewed": self.use_new_credentials,
            "exit": self.exit,
            SETTINGS_CHANGED: self.use_new_settings,
        }

    async def clear_cache(self) -> None:
        """Drop every cached block, and what is about to become one.

        Raises Unavailable when the disk of the cache fails or hangs.
        """
        await self._uploads.settle()
        await self._cache.clear()

    async def probe_bucket(self) -> None:
        """Begin to look whether the bucket is fit, for a mount that is on its way."""
        self._begin_probe()

    async def use_new_credentials(self) -> None:
        """Take over the credentials that lie in the home now, and try at once what they kept back.

        Raises Refused if they are damaged.
        """
        self._signed_with.use(await asyncio.to_thread(load_credentials, self._home))
        self._health.hurry()
        self._uploads.hurry()

    async def use_new_settings(self) -> None:
        """Go by the settings that lie in the home now.

        Raises Refused if they are damaged, OSError if the disk cannot be read.
        """
        before = self._settings.config
        await asyncio.to_thread(self._settings.renew)
        if needs_anew(before, self._settings.config):
            self._anew()
            return
        room = self._settings.room
        self._cache.resize(room.limit, room.left_alone)
        self._office.name_peers(map(parse_peer, self._settings.config.peers))

    def hold_node_key(self, raw: bytes) -> None:
        """Take over the node key of a home whose secrets were in clear until now.

        Raises Refused if another is held.
        """
        if len(raw) != sealed_file.NODE_KEY_BYTES or sealed_file.held(self._home) not in {
            None,
            raw,
        }:
            raise Refused("no node key is waited for")
        sealed_file.hold(self._home, raw)

    async def exit(self) -> None:
        """End the daemon. Raises Refused while a project is mounted."""
        known = [mount.hello.mountpoint for mount in self._mounts]
        there = await asyncio.to_thread(mounted, self._home, known)
        if there:
            raise Refused(f"still mounted: {', '.join(there)}; run `lucidnode umount` first")
        self._stop()
