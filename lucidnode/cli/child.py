"""How a process that serves speaks with whoever started it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys

READY = b"ready"
_LOADING = re.compile(rb"loading (\d{1,18}) (\d{1,18})\n")


class ChildFailed(Exception):
    """A child gave up: its last words and its exit code."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


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
    """In a child: tell whoever started it that it serves now. Raises BrokenPipeError if he has gone."""
    os.write(1, READY + b"\n")
    _say_no_more()


def say_loading(done: int, total: int) -> None:
    """In a child: tell whoever started it that *done* of *total* bytes are loaded, if he listens."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b"loading %d %d\n" % (done, total))


def loading_in(line: bytes) -> tuple[int, int] | None:
    """Return what a *line* of a child tells as `say_loading`, None if it is another."""
    found = _LOADING.fullmatch(line)
    return (int(found[1]), int(found[2])) if found else None


def say_back() -> None:
    """In a child that takes the place of one that died: do as `say_ready`, also if nobody listens.

    Its keeper may have died meanwhile; better without one than not at all.
    """
    with contextlib.suppress(BrokenPipeError):
        os.write(1, READY + b"\n")
    _say_no_more()


def _say_no_more() -> None:
    # The starter closes its end; what is printed from here on must not raise SIGPIPE's error.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
