"""The configuration that Samba is given: nothing that a person writes becomes another line of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode.smb_gateway import BadShare, SmbShare, smb_configuration

GOOD = SmbShare("The film", Path("/srv/drive"), ["ada", "bo"], "edit", Path("/var/lib/smb"), 4450)


def settings(text: str, section: str) -> dict[str, str]:
    body = text.partition(f"[{section}]\n")[2].partition("\n[")[0]
    lines = [line.strip() for line in body.splitlines() if "=" in line]
    parts = (line.partition(" = ") for line in lines if not line.startswith("#"))
    return {name: value for name, _, value in parts}


def test_a_share_is_for_its_users_encrypted_and_coherent() -> None:
    text = smb_configuration(GOOD)
    everywhere, share = settings(text, "global"), settings(text, "The film")
    assert everywhere["server smb encrypt"] == "required"
    assert everywhere["smb ports"] == "4450"
    assert share["valid users"] == "ada bo"
    assert share["force user"] == "edit"
    assert share["read only"] == "no"
    for cached in ("oplocks", "level2 oplocks", "kernel oplocks", "durable handles"):
        assert share[cached] == "no"
    assert everywhere["smb2 leases"] == "no"
    assert (
        settings(smb_configuration(GOOD._replace(read_only=True)), "The film")["read only"] == "yes"
    )


@pytest.mark.parametrize(
    "bad",
    [
        GOOD._replace(name="demo]\npath = /"),
        GOOD._replace(name="global"),
        GOOD._replace(name="homes"),
        GOOD._replace(name=""),
        GOOD._replace(users=["ada", "bo\nguest ok = yes"]),
        GOOD._replace(users=["@everybody"]),
        GOOD._replace(owner="root; x"),
        GOOD._replace(directory=Path("/srv/%U")),
        GOOD._replace(directory=Path("/srv/a\nguest ok = yes")),
        GOOD._replace(directory=Path("srv")),
        GOOD._replace(state=Path("/var/lib/smb\n[other]")),
    ],
)
def test_what_samba_would_read_as_something_else_is_refused(bad: SmbShare) -> None:
    with pytest.raises(BadShare):
        smb_configuration(bad)
