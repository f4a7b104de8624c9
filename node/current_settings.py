"""The settings that a running daemon goes by: they can change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lucidnode.node.cache.room import CacheRoom, DiskSize, disk_of
from lucidnode.node.config import NodeConfig, cache_directory
from lucidnode.node.studio_settings import effective_config


class CurrentSettings:
    """What lies in *home*, with what an owner sets for the studio, and what *applied* adds for this run.

    That is `config`, and the `room` of its cache.

    Most parts are built from what it holds at the start; what counts at once asks it each time
    (node/settings.py says which is which).
    """

    def __init__(self, home: Path, applied: Callable[[NodeConfig], NodeConfig]) -> None:
        """Blocking. Raises NoStudio, Refused for damaged settings, OSError."""
        self._home = home
        self._applied = applied
        self._disks: dict[Path, DiskSize] = {}
        """What was seen of the disks of cache directories."""
        self.renew()

    def renew(self) -> None:
        """Read them anew, all or nothing. Blocking; raises as above."""
        self.use(self._applied(effective_config(self._home)))

    def use(self, config: NodeConfig) -> None:
        """Go by *config* until the next `renew`. Blocking. Raises OSError.

        A disk that hangs is taken for what it was before, if it was seen.
        """
        directory = cache_directory(self._home, config)
        try:
            disk = self._disks[directory] = disk_of(directory)
        except TimeoutError:
            if (known := self._disks.get(directory)) is None:
                raise
            disk = known
        self.room = CacheRoom.of(config.cache_limit, config.min_free, disk.size)
        self.config = config
