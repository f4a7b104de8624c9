"""Running a short command to its end."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence

from lab.errors import CommandFailed


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, within: float = 60.0) -> str:
    """Return what *argv* prints. Raises CommandFailed with the end of its complaint."""
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"{argv[0]} is not installed; run scripts/setup") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{shlex.join(argv)} did not end within {within:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise CommandFailed(f"{shlex.join(argv)} ended with {done.returncode}: " + "\n".join(said))
    return done.stdout
