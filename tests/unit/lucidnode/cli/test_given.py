"""Credentials as a person gives them."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lucidnode.cli.given import RoleFile, given_by_role, given_credentials, role_files_option
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


def test_new_credentials_are_of_the_role_that_is_named_or_the_only_one(tmp_path: Path) -> None:
    files = {}
    for name in ("one", "other"):
        files[name] = tmp_path / name
        files[name].write_text(f'{{"access_key": "{name}", "secret_key": "hush"}}')
    one, other = files["one"], files["other"]
    plain, named = RoleFile(one, None), RoleFile(other, "viewer")
    assert given_by_role([], {"owner", "editor"}) == {}
    assert given_by_role([plain], {"editor"}) == {"editor": Credentials("one", "hush")}
    found = given_by_role([plain, named], {"owner"})
    assert {role: each.access_key for role, each in found.items()} == {
        "owner": "one",
        "viewer": "other",
    }
    for wrong, roles in ((plain, {"editor", "viewer"}), (RoleFile(one, "viewer"), {"viewer"})):
        with pytest.raises(click.UsageError, match=r"role|every viewer"):
            given_by_role([wrong, named], roles)  # type: ignore[arg-type]


def test_whose_credentials_a_file_has_is_said_before_its_name(tmp_path: Path) -> None:
    (tmp_path / "new=1.json").touch()
    (tmp_path / "v.json").touch()

    @click.command()
    @role_files_option
    def command(role_files: tuple[RoleFile, ...]) -> None:
        for each in role_files:
            click.echo(f"{each.role} {each.file.name}")

    words = ["--credentials-file", f"viewer={tmp_path / 'v.json'}"]
    words += ["--credentials-file", str(tmp_path / "new=1.json")]
    assert CliRunner().invoke(command, words).output == "viewer v.json\nNone new=1.json\n"
    missing = CliRunner().invoke(command, ["--credentials-file", "editor=gone.json"])
    assert missing.exit_code == 2
    assert "gone.json" in missing.output
