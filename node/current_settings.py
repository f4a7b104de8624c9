"""The settings that a running daemon goes by: they can change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lucidnode.node.cache.room import CacheRoom
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
        self.renew()

    def renew(self) -> None:
        """Read them anew, all or nothing. Blocking; raises as above."""
        self.use(self._applied(effective_config(self._home)))

    def use(self, config: NodeConfig) -> None:
        """Go by *config* until the next `renew`. Blocking. Raises OSError."""
        directory = cache_directory(self._home, config)
        self.room = CacheRoom.on(directory, config.cache_limit, config.min_free)
        self.config = config
