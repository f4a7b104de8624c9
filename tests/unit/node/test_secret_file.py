"""Secrets that the daemon keeps for itself."""

from __future__ import annotations

from pathlib import Path

from lucidnode.node.secret_file import CHARACTERS, kept_secret


def test_a_secret_is_made_once_and_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = kept_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_secret(path) == secret
    assert len(secret) == CHARACTERS


def test_a_damaged_secret_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for damaged in (b"", b"\xff", b"short"):
        path.write_bytes(damaged)
        assert len(kept_secret(path)) == CHARACTERS
