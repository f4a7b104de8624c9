"""What callers make us log is bounded, and no bytes of theirs are a fault of ours."""

from __future__ import annotations

import logging

from lucidnode.node.callers import QUIET_S, OncePerKind, is_secret


def test_a_kind_of_record_passes_once_a_minute_and_says_how_many_did_not() -> None:
    now = 0.0
    limited = OncePerKind(lambda: now)

    def passed(text: str, error: Exception | None = None) -> str | None:
        exc_info = None if error is None else (type(error), error, None)
        record = logging.LogRecord("x", logging.ERROR, "", 0, text, ("10.0.0.9",), exc_info)
        return record.getMessage() if limited.filter(record) else None

    assert passed("from %s") == "from 10.0.0.9"
    assert [passed("from %s") for _ in range(1000)] == [None] * 1000
    assert passed("from %s", ValueError()) == "from 10.0.0.9"
    now = QUIET_S
    assert passed("from %s") == "from 10.0.0.9 (and 1000 more like it)"
    now = 2 * QUIET_S
    assert passed("from %s") == "from 10.0.0.9"


def test_any_bytes_that_a_caller_shows_are_the_secret_or_not() -> None:
    for shown in ("", "token ", "\u00e9", b"tok\xff\xfen".decode(errors="surrogateescape")):
        assert not is_secret(shown, "token")
    assert is_secret("token", "token")
