"""`fcntl` locks of byte ranges by programs on two real mounts, against a model (tests/range_locks.py).

A seed is two workstations of one studio, with real daemons, mounts and processes; a file, and what the programs do
with it, for each of its examples. It needs root.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from daemon_fixture import workstations
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from range_locks import locking

EXAMPLES = 8
STEPS = 40


def run_seed(number: int) -> Counter[str]:
    """Play the examples of one seed. Raises AssertionError when a lock is given or refused wrongly."""
    happened: Counter[str] = Counter()
    with (
        tempfile.TemporaryDirectory(prefix="soak-ranges-") as folder,
        workstations(Path(folder), 2) as nodes,
    ):
        for node in nodes:
            node.mount()
        machine = seed(number)(locking((nodes[0].mountpoint, nodes[1].mountpoint), happened))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=[Phase.generate],
                database=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
    return happened
