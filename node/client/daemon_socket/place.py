"""Where the daemon of a home listens. By itself: commands that only look for it load nothing else."""

from __future__ import annotations

from typing import Final

SOCKET_FILE: Final = "daemon.sock"
"""In the home directory."""
