"""Where projects are for programs."""

from __future__ import annotations

import asyncio

from lucidnode.cli.exit_codes import Exit, exit_code
from lucidnode.where_projects_are import KINDS_OF_CODES, run_apart


def test_an_exit_code_becomes_the_error_that_it_came_from() -> None:
    assert {
        code: exit_code(kind("why")) for code, kind in KINDS_OF_CODES.items() if code != Exit.USAGE
    } == {code: code for code in KINDS_OF_CODES if code != Exit.USAGE}


async def _answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_work_runs_where_no_loop_does() -> None:
    assert run_apart(_answer()) == 42


async def test_work_runs_beside_a_loop_as_in_a_notebook() -> None:
    assert run_apart(_answer()) == 42
