"""How a process that serves speaks with whoever started it."""

from __future__ import annotations

import logging
import os
import sys

READY = b"ready"


def log_to_stderr() -> None:
    """In a process that serves: log there, into the terminal or the file it was started with.

    LUCIDNODE_LOG=debug has it tell each decision, too: hedges, evictions, fast-forwards, rebases.
    """
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    if os.environ.get("LUCIDNODE_LOG") == "debug":
        # Not the libraries: what they tell may be secret.
        logging.getLogger("lucidnode").setLevel(logging.DEBUG)


def say_ready() -> None:
    """In a child: tell whoever started it that it serves now."""
    sys.stdout.buffer.write(READY + b"\n")
    sys.stdout.buffer.flush()
    # The starter closes its end; what is printed from here on must not raise SIGPIPE's error.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
