"""Logins for a colleague's dashboard: good for one, soon and once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import DeviceId
from lucidnode.node.client.public_keys import verify
from lucidnode.node.dashboard.login import LOGIN_S, Login, Opened, read_login
from lucidnode.node.dashboard.visitor import shown_to
from lucidnode.node.identity import DeviceIdentity

NOW_NS = 1_790_000_000 * 10**9
PAGE = Opened(b"studio", DeviceId("0f" * 16), b"p" * 32)
LOGIN = Login(DeviceId("ab" * 16), NOW_NS, b"n" * 16, b"s" * 64)


def test_a_login_is_read_as_it_was_written() -> None:
    assert read_login(LOGIN.text()) == LOGIN


@given(st.text(max_size=200) | st.text("AZaz09-_=", min_size=139, max_size=140))
def test_any_text_is_a_login_in_one_form_or_none(text: str) -> None:
    try:
        login = read_login(text)
    except Malformed:
        return
    assert login.text() == text


def test_a_login_is_good_for_two_minutes_either_way() -> None:
    for seconds, good in ((0, True), (LOGIN_S, True), (-LOGIN_S, True), (LOGIN_S + 1, False)):
        assert LOGIN.is_timely(NOW_NS + seconds * 10**9) is good


@pytest.mark.parametrize(
    "other",
    [
        replace(PAGE, studio=b"another"),
        replace(PAGE, device=DeviceId("0e" * 16)),
        replace(PAGE, pin=b"q" * 32),
    ],
)
def test_a_login_opens_the_one_dashboard_that_it_was_made_for(
    tmp_path: Path, other: Opened
) -> None:
    identity = DeviceIdentity.create(tmp_path / "device.pem")
    login = replace(LOGIN, device=identity.id)
    signature = identity.sign(login.signed(PAGE))
    assert verify(identity.public, login.signed(PAGE), signature)
    assert not verify(identity.public, login.signed(other), signature)
    later = replace(login, issued_ns=NOW_NS + 1)
    assert not verify(identity.public, later.signed(PAGE), signature)


def test_the_certificate_for_browsers_is_the_same_for_life(tmp_path: Path) -> None:
    made = DeviceIdentity.create(tmp_path / "device.pem")
    _, pin = made.browser_context()
    _, again = DeviceIdentity.load(tmp_path / "device.pem").browser_context()
    _, other = DeviceIdentity.create(tmp_path / "other.pem").browser_context()
    assert pin == again != other


def test_a_colleague_sees_the_projects_that_he_may_read_and_no_directory() -> None:
    def at(name: str) -> dict[str, object]:
        return {"mountpoint": f"/home/ada/{name}", "path": f"{name}.mov"}

    facts = {
        **{name: {} for name in ("bucket", "uploads", "savings", "office", "cache")},
        "addresses": {"dashboard": "http://127.0.0.1:8440/"},
        "something-new": "that nobody has thought of",
        "mounts": [
            {"mountpoint": f"/home/ada/{name}", "project": project, "words": words}
            for name, project, words in (
                ("film", "1" * 32, {"project": "Film", "workstation": "edit-1"}),
                ("secret", "2" * 32, {"project": "Secret", "workstation": "edit-1"}),
            )
        ],
        **{
            name: [at("film"), at("secret")]
            for name in ("on_their_way", "locks", "leases", "conflicts", "collections")
        },
        "alerts": [
            {"mountpoint": None, "cause": "The disk fails."},
            {"mountpoint": "/home/ada/film", "cause": "film is stuck"},
            {"mountpoint": "/home/ada/secret", "cause": "secret is stuck"},
        ],
    }
    shown = shown_to(facts, {"1" * 32, "3" * 32})
    assert "ecret" not in str(shown)
    assert "/home" not in str(shown)
    assert "addresses" not in shown
    assert "something-new" not in shown
    assert shown["conflicts"] == [{"mountpoint": "Film", "path": "film.mov"}]
    assert [alert["cause"] for alert in shown["alerts"]] == ["The disk fails.", "film is stuck"]
    assert shown["visitor"] == "edit-1"
