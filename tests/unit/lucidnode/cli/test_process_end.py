"""A command whose work is done ends, whatever its threads hang in."""

from __future__ import annotations

import subprocess
import sys

HANGS = """
import sys, threading
from lucidnode.cli.app import main
threading.Thread(target=threading.Event().wait).start()
sys.argv = ["lucidnode", *sys.argv[1:]]
main()
"""


def test_a_thread_that_hangs_holds_up_the_end_of_no_command() -> None:
    begun = {
        word: subprocess.Popen(
            [sys.executable, "-P", "-c", HANGS, word],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for word in ("--version", "--no-such-thing")
    }
    ended = {word: (*one.communicate(timeout=30), one.returncode) for word, one in begun.items()}
    out, _, code = ended["--version"]
    assert (code, out.startswith("lucidnode, version")) == (0, True), ended
    _, err, code = ended["--no-such-thing"]
    assert (code, "--no-such-thing" in err) == (2, True), ended
