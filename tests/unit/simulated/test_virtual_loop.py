"""What is given to one thread happens in the order of the giving, as in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from lab.virtual_loop import run_virtual


def test_one_thread_does_one_thing_after_the_other_and_several_do_not() -> None:
    async def done(threads: int) -> list[int]:
        happened: list[int] = []
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(threads) as executor:
            given = [
                loop.run_in_executor(executor, happened.append, number) for number in range(50)
            ]
            for each in given:
                await each
        return happened

    assert run_virtual(lambda: done(1), 1) == list(range(50))
    assert run_virtual(lambda: done(2), 1) != list(range(50))
