"""Large buffers that a serving process lets go of are kept for the next ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FAULTS = """
import resource
{before}
def faults(count):
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        bytes(bytearray(2 * 1024 * 1024))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began
faults(4)
print(faults(32))
"""

_KEEPING = "from lucidnode.cli.allocator import keep_large_buffers; keep_large_buffers()"


@pytest.mark.parametrize(("before", "fresh"), [(_KEEPING, False), ("", True)])
def test_a_buffer_takes_pages_that_the_one_before_it_had(before: str, fresh: bool) -> None:
    script = _FAULTS.format(before=before)
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    # Two buffers of 512 pages each time, where they are taken anew.
    assert (int(ran.stdout) > 32 * 512) is fresh
