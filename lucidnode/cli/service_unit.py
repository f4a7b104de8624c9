"""The unit file that systemd starts a home's service by. Pure: text and names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CREDENTIAL = "lucidnode-passphrase"
"""What systemd calls the credential with the passphrase."""

WATCHDOG_S = 60
"""Seconds without a sign of life after which systemd starts `service run` anew. It gives one every
few seconds, and at most every 15 while the daemon does not answer."""

STOP_S = 180
"""Seconds for unmounting and ending the daemon. Each part bounds itself below that."""


@dataclass(frozen=True)
class ServiceUnit:
    """The unit of one home. *user* is None for a unit of the user's own service manager."""

    home: Path
    user: str | None
    default_home: Path
    """Where the home of this user is if nobody says otherwise."""

    @property
    def name(self) -> str:
        """The unit's name, the same for the same home."""
        parts = ["lucidnode"]
        parts += [self.user] if self.user is not None else []
        if self.home != self.default_home:
            parts.append(hashlib.sha256(str(self.home).encode()).hexdigest()[:8])
        return "-".join(parts) + ".service"

    def text(self, command: Sequence[str], credential: Path | None) -> str:
        """Return the unit that runs *command*; *credential* is the sealed passphrase, if systemd has it."""
        system = self.user is not None
        unit = [
            "Description=Lucidnode: drives of " + _escaped(str(self.home)),
            *(["Wants=network-online.target"] if system else []),
            *(["After=network-online.target remote-fs.target"] if system else []),
            *([f"RequiresMountsFor={_quoted(str(self.home), dollar='$')}"] if system else []),
            "StartLimitIntervalSec=0",
        ]
        service = [
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={' '.join(map(_quoted, command))}",
            *([f"User={self.user}"] if system else []),
            *([] if credential is None else [_credential(credential)]),
            "Restart=on-failure",
            "RestartSec=2",
            # Typed wrongly, or no studio here: the same the next time.
            "RestartPreventExitStatus=2 3",
            f"WatchdogSec={WATCHDOG_S}",
            "TimeoutStartSec=180",
            f"TimeoutStopSec={STOP_S}",
            # A crash of this process, or one that the kernel kills for memory, costs no mount: the next
            # one finds them. Stopped in order it unmounts them itself.
            "KillMode=process",
            "OOMPolicy=continue",
        ]
        wanted_by = "multi-user.target" if system else "default.target"
        return "\n".join(
            [
                "# Written by `lucidnode service install`; `lucidnode service remove` takes it away.",
                "[Unit]",
                *unit,
                "",
                "[Service]",
                *service,
                "",
                "[Install]",
                f"WantedBy={wanted_by}",
                "",
            ]
        )


def _credential(path: Path) -> str:
    return f"LoadCredentialEncrypted={CREDENTIAL}:{_escaped(str(path))}"


def _escaped(text: str) -> str:
    """Return *text* without what systemd would expand: its specifiers."""
    return text.replace("%", "%%")


def _quoted(word: str, dollar: str = "$$") -> str:
    """Return *word* as one word, systemd.syntax(7). In a command a *dollar* is written as two."""
    inner = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", dollar)
    inner = inner.replace("\n", "\\n").replace("\t", "\\t")
    return f'"{inner}"'
