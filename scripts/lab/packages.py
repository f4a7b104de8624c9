"""Debian packages that a program under test comes in."""

from __future__ import annotations

import os
from collections.abc import Collection

from lab.command import run
from lab.errors import CommandFailed, LabError


def install(packages: Collection[str]) -> None:
    """Install what is missing of *packages*, and have none of it start a service of its own.

    Raises LabError that names what an administrator has to install.
    """
    missing = sorted(each for each in packages if not _is_installed(each))
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"ask an administrator for: apt-get install {' '.join(missing)}")
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    # Debian's PostgreSQL would make and start a cluster; RUNLEVEL=1 has invoke-rc.d start nothing.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run([*apt, "update"], env=env, within=600)
    run([*apt, "install", "-y", "--no-install-recommends", *missing], env=env, within=1800)


def _is_installed(package: str) -> bool:
    try:
        state = run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package])
    except CommandFailed:
        return False
    return state == "installed"
