"""Where a workstation keeps its keys, settings and cache."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def home_of(chosen: Path | None) -> Path:
    """Return the home directory that was *chosen*, or the usual one, as an absolute path."""
    return (chosen or Path(platformdirs.user_data_dir("lucidnode"))).expanduser().absolute()
