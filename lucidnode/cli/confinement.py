"""What a process gives up that serves, or that has keys: it keeps no more than it needs.

Keys and plaintext of such a process shall reach nobody through a core dump, a debugger of another
program of the same user, or the environment of a child.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Mapping

_PR_SET_DUMPABLE = 4
"""prctl(2): with 0 no core is dumped, and no other process of the user may trace us."""

_NAMES = frozenset(
    {
        "DBUS_SYSTEM_BUS_ADDRESS",  # logind tells of sleep there
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",  # Python itself may need it
        "LOGNAME",
        "LUCIDNODE_HOME",
        "LUCIDNODE_LOG",
        "PATH",
        "PYTHONHOME",
        "PYTHONPATH",
        "TMPDIR",
        "TZ",
        "USER",
    }
)
_PREFIXES = ("LC_", "MALLOC_", "XDG_")

_STORE_NAMES = frozenset(
    {
        "ALL_PROXY",
        "BOTO_CONFIG",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }
)
"""What says how the store is reached."""

_MACHINE_PREFIX = "AWS_"
"""What boto3 finds the machine's own credentials by."""

_MACHINE_SECRETS = frozenset(
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
)
"""Of whoever typed the command: a daemon would go on with them when he has long put them away."""


def of_a_mount(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a mount process may know of *environment*: nothing of the store."""
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }


def of_a_daemon(environment: Mapping[str, str], *, has_credentials: bool) -> dict[str, str]:
    """Return what a daemon may know of *environment*: how the store is reached as well.

    Only one that *has* no *credentials* in its home learns where the machine's own are; never a secret.
    """
    return of_a_mount(environment) | {
        name: value
        for name, value in environment.items()
        if name.upper() in _STORE_NAMES
        or (
            not has_credentials
            and name.startswith(_MACHINE_PREFIX)
            and name not in _MACHINE_SECRETS
        )
    }


def confine(kept: Mapping[str, str]) -> None:
    """Reduce this process to the environment *kept*, and keep others from reading its memory.

    Call it before any thread or child is started. Raises OSError if the kernel refuses.
    """
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    hide_memory()


def hide_memory() -> None:
    """Keep other programs of this user from the memory of this process: no core, no ptrace.

    Raises OSError if the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let us forbid core dumps")
