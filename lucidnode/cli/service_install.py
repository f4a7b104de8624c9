"""Putting a home's service into systemd, and taking it out."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lucidnode.cli import systemd_creds
from lucidnode.cli.other_process import OtherProcess
from lucidnode.cli.service_state import runs
from lucidnode.cli.service_unit import CREDENTIAL, ServiceUnit
from lucidnode.node.client.durable import replace_durably
from lucidnode.node.client.errors import Refused, Unavailable

_SYSTEM_UNITS = Path("/etc/systemd/system")
_CREDENTIALS = Path("/etc/lucidnode")

_HAND_OVER_S = 30.0

_NO_SYSTEMD = (
    "no systemd runs here: have whatever starts services here run `lucidnode service run`, "
    "as the user of the drive (docs/service.md)"
)


@dataclass(frozen=True)
class ServicePlace:
    """Where the unit of one home is. *is_system*: of the machine, not of the user's own manager."""

    unit: ServiceUnit
    directory: Path
    is_system: bool

    @property
    def path(self) -> Path:
        """The unit file."""
        return self.directory / self.unit.name

    @property
    def credential(self) -> Path:
        """The passphrase, sealed by systemd; only a system unit can have one."""
        return (_CREDENTIALS / self.unit.name).with_suffix(".cred")

    @property
    def systemctl(self) -> list[str]:
        """The beginning of a command that asks its manager."""
        return ["systemctl"] if self.is_system else ["systemctl", "--user"]

    @property
    def shown(self) -> str:
        """What a person types to ask its manager."""
        return f"{' '.join(self.systemctl)} status {self.unit.name}"


def place_of(home: Path, environment: Mapping[str, str], *, is_system: bool) -> ServicePlace:
    """Return where the unit of *home* is, or would be. Raises Refused, OSError."""
    owner = pwd.getpwuid(home.stat().st_uid)
    if is_system:
        default = Path(owner.pw_dir) / ".local/share/lucidnode"
        return ServicePlace(
            ServiceUnit(home, owner.pw_name, default), _SYSTEM_UNITS, is_system=True
        )
    config = Path(environment.get("XDG_CONFIG_HOME") or Path(owner.pw_dir) / ".config")
    data = Path(environment.get("XDG_DATA_HOME") or Path(owner.pw_dir) / ".local/share")
    unit = ServiceUnit(home, None, data / "lucidnode")
    return ServicePlace(unit, config / "systemd/user", is_system=False)


def installed(home: Path, environment: Mapping[str, str]) -> ServicePlace | None:
    """Return where a unit of *home* is installed, or None."""
    for is_system in (False, True):
        place = place_of(home, environment, is_system=is_system)
        if place.path.exists():
            return place
    return None


def check_systemd(place: ServicePlace) -> None:
    """Raise Refused where the manager of *place* does not run, or we may not."""
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise Refused(_NO_SYSTEMD)
    if place.is_system and os.geteuid() != 0:
        raise Refused(
            "a service of the whole machine is installed by root: run this with sudo, and name the "
            f"home with `--home {place.unit.home}`"
        )
    if not place.is_system:
        if os.geteuid() != place.unit.home.stat().st_uid:
            raise Refused(
                f"{place.unit.home} is another user's: install as that user, or with --system"
            )
        # It answers whether it is degraded, but not without a bus.
        if _ask(place, "show-environment").returncode != 0:
            raise Refused(
                "the service manager of this user does not answer: log in as this user (not with "
                "`su` or `sudo`), or have root install with --system"
            )


def install(place: ServicePlace, text: str) -> None:
    """Write the unit, enable and start it; one that runs already hands its mounts over to it.

    Raises Unavailable with systemd's own words.
    """
    place.directory.mkdir(parents=True, exist_ok=True)
    replace_durably(place.path, text.encode(), 0o644)
    _tell(place, "daemon-reload")
    _tell(place, "enable", place.unit.name)
    if (pid := runs(place.unit.home)) is not None:
        with OtherProcess(pid) as before:
            before.tell(signal.SIGHUP)
            before.ends_within(_HAND_OVER_S)
    _tell(place, "start", place.unit.name)


def remove(place: ServicePlace) -> None:
    """Stop the service, which unmounts, and take its unit away. Raises Unavailable."""
    _tell(place, "disable", "--now", place.unit.name)
    place.path.unlink(missing_ok=True)
    if place.is_system:
        place.credential.unlink(missing_ok=True)
    _tell(place, "daemon-reload")


def seal(place: ServicePlace, passphrase: str) -> None:
    """Have systemd seal *passphrase* for this machine, in a file of its own. Raises Unavailable."""
    try:
        sealed = systemd_creds.encrypt(CREDENTIAL, passphrase.encode())
    except Unavailable as error:
        raise Unavailable(
            f"{error} (systemd 250 brings it): keep the passphrase in a file that only its user can "
            "read, with `--keep file --passphrase-file FILE`"
        ) from error
    place.credential.parent.mkdir(mode=0o700, exist_ok=True)
    replace_durably(place.credential, sealed, 0o600)


def check_file(place: ServicePlace, file: Path) -> None:
    """Raise Refused if the service could not read the passphrase in *file* at a start."""
    found = file.stat()
    if found.st_uid != place.unit.home.stat().st_uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(
            f"{file} has to belong to the user of {place.unit.home}, and nobody else may read it: "
            "use chown, and chmod 600"
        )


def facts(place: ServicePlace) -> dict[str, str]:
    """Return what the manager says of the unit: `active` and `enabled`, in its own words."""
    done = _ask(place, "show", "--property=ActiveState,UnitFileState", place.unit.name)
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    unknown = "unknown"
    return {
        "active": lines.get("ActiveState") or unknown,
        "enabled": lines.get("UnitFileState") or unknown,
    }


def lingers(uid: int) -> bool:
    """Tell whether services of user *uid* run from the start of the machine on."""
    return Path("/var/lib/systemd/linger", pwd.getpwuid(uid).pw_name).exists()


def _tell(place: ServicePlace, *words: str) -> None:
    done = _ask(place, *words)
    if done.returncode != 0:
        raise Unavailable(
            f"systemd refuses `{words[0]}` of {place.unit.name}: {_said(done)}; "
            f"`{place.shown}` tells more"
        )


def _ask(place: ServicePlace, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a fixed tool
        [*place.systemctl, *words], capture_output=True, text=True, errors="replace", check=False
    )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[0] if lines else f"exit code {done.returncode}"
