"""What a process that serves gives up before it starts: it keeps no more than it needs.

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
_STORE_PREFIXES = ("AWS_",)
"""What boto3 finds credentials by, and what says how the store is reached."""


def of_a_mount(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a mount process may know of *environment*: nothing of the store."""
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }


def of_a_daemon(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a daemon may know of *environment*: what the store needs as well."""
    return of_a_mount(environment) | {
        name: value
        for name, value in environment.items()
        if name.upper() in _STORE_NAMES or name.startswith(_STORE_PREFIXES)
    }


def confine(kept: Mapping[str, str]) -> None:
    """Reduce this process to the environment *kept*, and keep others from reading its memory.

    Call it before any thread or child is started. Raises OSError if the kernel refuses.
    """
    for name in os.environ.keys() - kept.keys():
        del os.environ[name]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let us forbid core dumps")
