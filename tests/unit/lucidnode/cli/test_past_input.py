"""Who asks for the past of something that is not there is told what he may have meant."""

from __future__ import annotations

import pytest

from lucidnode.cli.past_input import GivenPath, hinting
from lucidnode.fs.errors import NoSuchPast


def test_what_is_missing_is_said_with_what_may_be_meant_instead() -> None:
    given = GivenPath("demo", (b"demo",), "; if that is a project, call it demo:")
    with (
        pytest.raises(NoSuchPast, match=r"^there is no demo; if that is a project, call it demo:$"),
        hinting(given),
    ):
        raise NoSuchPast("there is no demo")
