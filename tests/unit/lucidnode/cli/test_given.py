"""Credentials as a person gives them."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from lucidnode.cli.given import given_credentials
from lucidnode.node.bucket.credentials import Credentials

SERVICE_ACCOUNT = {
    "type": "service_account",
    "client_email": "studio@example.iam.gserviceaccount.com",
    "private_key": "hush",
}


def test_a_key_of_a_service_account_is_taken_as_google_hands_it_out(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(SERVICE_ACCOUNT))
    given = given_credentials(file, of_aws=False)
    assert given is not None
    assert given.access_key == SERVICE_ACCOUNT["client_email"]
    assert json.loads(given.secret_key) == SERVICE_ACCOUNT


def test_an_access_key_is_taken_for_any_store(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"access_key": "studio", "secret_key": "hush"}')
    assert given_credentials(file, of_aws=False) == Credentials("studio", "hush")


def test_a_file_with_neither_is_refused_without_its_words(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    for text in ('{"type": "authorized_user", "refresh_token": "hush"}', "[]", "hush", "\xff"):
        file.write_text(text)
        with pytest.raises(click.UsageError) as refusal:
            given_credentials(file, of_aws=True)
        assert "hush" not in str(refusal.value)


def test_what_the_environment_has_for_aws_is_shown_to_no_other_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert given_credentials(None, of_aws=True) == Credentials("AKIA", "hush")
    assert given_credentials(None, of_aws=False) is None
