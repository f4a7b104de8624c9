"""What can be told of a process that others started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from cli_fixture import until

from lucidnode.cli.other_process import OtherProcess

# Who waits for the child of vfork(2) is in the state of one who waits for a disk.
WAITS_LIKE_FOR_A_DISK = "import ctypes, time; ctypes.CDLL(None).vfork() or time.sleep(600)"
WAITS = "import time; time.sleep(600)"


def test_one_that_waits_for_a_disk_is_told_from_one_that_waits_for_anything_else() -> None:
    hanging, waiting = (
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        for code in (WAITS_LIKE_FOR_A_DISK, WAITS)
    )
    try:
        with OtherProcess(hanging.pid) as one, OtherProcess(waiting.pid) as other:
            until(one.hangs_in_disk)
            until(lambda: not other.hangs_in_disk())  # it read its modules from one, at first
            os.killpg(hanging.pid, signal.SIGKILL)
            hanging.wait(30)
            assert not one.hangs_in_disk()
    finally:
        for each in (hanging, waiting):
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait(30)
