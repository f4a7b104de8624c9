"""Which branches `tests/unit` takes, counted while the suite runs, and the floor under that.

`scripts/test` without arguments loads it (`-p branch_coverage`), and so does `scripts/coverage`. Each
process of pytest-xdist counts by itself, and only while a test of `tests/unit` runs that is small: what
integration tests start are other processes, and counting takes nearly twice the processor time, too
much for what computes for minutes and takes the same branches again and again. What looks at the clock
on the wall is not counted either. In the end the counts are added up, and the run fails if their sum
is below `fail_under` in pyproject.toml.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest
from side_by_side import ALONE, COMPUTING

_FOLDER_VARIABLE = "LUCIDNODE_COVERAGE"
_ROOT = Path(__file__).resolve().parent.parent
_COUNTED = _ROOT / "tests" / "unit"
_NOT_COUNTED = (*COMPUTING, *ALONE)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Counting())
    else:
        config.pluginmanager.register(_AddingUp())


def _coverage(name: str) -> coverage.Coverage:
    return coverage.Coverage(
        data_file=f"{os.environ[_FOLDER_VARIABLE]}/{name}",
        config_file=str(_ROOT / "pyproject.toml"),
    )


class _Counting:
    """One of the processes that run tests."""

    def __init__(self) -> None:
        self._counts = _coverage(f"sum.{os.getpid()}")
        self._counts.start()  # modules are imported while tests are collected

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        if item.path.is_relative_to(_COUNTED) and not item.path.name.endswith(_NOT_COUNTED):
            return (yield)
        self._counts.stop()
        try:
            return (yield)
        finally:
            self._counts.start()

    def pytest_sessionfinish(self) -> None:
        self._counts.stop()
        self._counts.save()


class _AddingUp:
    """The process that shares the tests out."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lucidnode-coverage-")
        os.environ[_FOLDER_VARIABLE] = self._folder.name
        self._words = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        total = _coverage("sum")
        try:
            total.combine([self._folder.name])
            percent = total.report(file=io.StringIO())
        except coverage.CoverageException as error:
            self._words = f"branches taken by tests/unit: not known ({error})"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        floor = float(total.get_option("report:fail_under") or 0)  # type: ignore[arg-type]
        self._words = f"lines and branches taken by tests/unit: {percent:.2f} % (floor {floor:g} %)"
        if percent < floor:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(self._words)

    def pytest_unconfigure(self) -> None:
        self._folder.cleanup()
