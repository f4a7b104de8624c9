"""How `scripts/test` without arguments shares the suite out among processes (pytest-xdist).

A module stays whole: what its tests share is made once. Modules share nothing but the machine, on
which every lab, workstation and server has names and ports of its own. The longest begin first.
What computes all the time is shared out test by test, and begins between those that mostly wait.
What measures time by the clock on the wall runs last and alone.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

LONGEST = (
    "test_compose.py",
    "test_main_job.py",
    "test_cli_errors.py",
    "test_lab.py",
    "test_mount.py",
    "test_hostile_store.py",
    "test_cli_long_work.py",
    "test_crashes.py",
    "test_cli_repair.py",
    "test_cli_coming_back.py",
    "test_leaks.py",
    "test_mdns.py",
    "test_cli_credentials.py",
    "test_hostile_roster.py",
    "test_cli_secrets.py",
    "test_ordinary_user.py",
    "test_cli_quick_start.py",
    "test_dashboard_office.py",
    "test_cli_rekey.py",
    "test_cli_leaving.py",
    "test_programs_without_mount.py",
    "test_cli_joining.py",
)
"""Half a minute and more each, so that none is left over with one process at the end."""

COMPUTING = (
    "test_soak_files.py",
    "test_soak_entries.py",
    "test_soak_changesets.py",
    "test_replica_simulator.py",
    "test_fast_forward.py",
)
"""Their tests share nothing, know no clock on the wall, and wait for nobody."""

ALONE = (
    "test_peers.py",  # what is hedged depends on which answer is first
    "test_hostile_peers.py",
    "test_keep_alive.py",
    "test_fetch.py",
    "test_uploads.py",  # a clock that runs faster than the one on the wall
    "test_lab_network.py",  # rate and latency of a line
)

TIMES = 3
"""How much longer a test may take before pytest-timeout takes it for hung."""


class Pieces(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """One piece is a module; those that run alone are one piece together, the last."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False  # by number of tests
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if module.endswith(COMPUTING):
            return nodeid
        return "alone" if module.endswith(ALONE) else module

    def _reschedule(self, node: WorkerController) -> None:
        if list(self.workqueue) != ["alone"] or node.shutting_down or self.nodes == [node]:
            super()._reschedule(node)
        elif sum(not each.shutting_down for each in self.nodes) > 1:
            node.shutdown()  # one process stays, and waits until the others are through

    def remove_node(self, node: WorkerController) -> str | None:
        crashed: str | None = super().remove_node(node)
        for each in self.nodes:
            self._reschedule(each)
        return crashed


def arrange(items: list[pytest.Item]) -> None:
    """Put *items*, all of the suite, into the order in which they begin, and give them more time."""
    rank: dict[str, float] = {name: number for number, name in enumerate(LONGEST)}
    rank |= dict.fromkeys(ALONE, len(LONGEST) + 1)
    computing = [item for name in COMPUTING for item in items if item.path.name == name]
    rank_of_test = {
        item: min(number, len(LONGEST) - 1) + 0.5 for number, item in enumerate(computing)
    }
    items.sort(
        key=lambda item: rank_of_test.get(item, rank.get(item.path.name, float(len(LONGEST))))
    )
    for item in items:
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else float(item.config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(TIMES * seconds), append=False)
