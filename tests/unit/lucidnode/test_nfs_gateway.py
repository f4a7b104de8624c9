"""The configuration that NFS-Ganesha is given: for whom it is, and nothing else gets into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lucidnode.nfs_gateway import BadExport, NfsExport, nfs_configuration

GOOD = NfsExport(
    "film", Path("/srv/drive"), ["192.168.7.40", "10.1.0.0/16"], 1000, 1001, Path("/var/lib/nfs")
)


def test_an_export_is_for_its_clients_and_acts_as_the_owner_of_the_mount() -> None:
    lines = [line.strip() for line in nfs_configuration(GOOD).splitlines()]
    for wanted in (
        "Access_Type = None;", "Clients = 192.168.7.40, 10.1.0.0/16;", "Access_Type = RW;",
        "Squash = All_Squash;", "Anonymous_Uid = 1000;", "Anonymous_Gid = 1001;",
        'Path = "/srv/drive";', "Attr_Expiration_Time = 0;", "Dir_Chunk = 0;",
    ):  # fmt: skip
        assert wanted in lines
    assert "Access_Type = RO;" in nfs_configuration(GOOD._replace(read_only=True))
    assert "Access_Type = RW;" not in nfs_configuration(GOOD._replace(read_only=True))


@pytest.mark.parametrize(
    "bad",
    [
        GOOD._replace(clients=[]),
        GOOD._replace(clients=["*"]),
        GOOD._replace(clients=["0.0.0.0/0"]),
        GOOD._replace(clients=["::/0"]),
        GOOD._replace(clients=["edit.example"]),
        GOOD._replace(clients=["10.0.0.1; Access_Type = RW"]),
        GOOD._replace(name="a/b"),
        GOOD._replace(name='a"; }'),
        GOOD._replace(directory=Path("srv")),
        GOOD._replace(directory=Path('/srv/"; Squash = None; #')),
        GOOD._replace(state=Path("/var/lib/nfs\n")),
    ],
)
def test_what_ganesha_would_read_as_something_else_is_refused(bad: NfsExport) -> None:
    with pytest.raises(BadExport):
        nfs_configuration(bad)
