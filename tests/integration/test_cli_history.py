"""What happened to files is told by command, and comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import Workstation, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(300)]


class Studio:
    """A workstation with the project demo mounted at *drive*."""

    def __init__(self, station: Workstation) -> None:
        self.station = station
        station.unlocked("init", f"file://{station.folder}/bucket")
        station.unlocked("project", "create", "demo")
        self.drive = station.folder / "drive"
        station.unlocked("mount", "demo", self.drive, "--durability", "cloud")

    def commit(self) -> None:
        """Have all that was done in the bucket."""
        directory = os.open(self.drive, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def events(self, path: str | Path) -> list[tuple[str, str]]:
        found = json.loads(self.station.unlocked("history", path, "--json").out)["events"]
        return [(event["what"], event["path"]) for event in found]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with workstation(tmp_path_factory.mktemp("station") / "a") as station:
        yield Studio(station)


def test_a_path_of_the_mount_or_of_the_project_tells_its_past(studio: Studio) -> None:
    station, film = studio.station, studio.drive / "film"
    film.mkdir()
    (film / "cut").write_text("one")
    (film / "cut").rename(film / "final")
    studio.commit()
    (film / "final").unlink()
    studio.commit()
    assert studio.events(film / "final") == [
        ("deleted", "film/final"), ("renamed", "film/final"), ("created", "film/cut"),
    ]  # fmt: skip
    assert studio.events("demo:film/final") == studio.events(film / "final")
    rows = station.unlocked("history", film).out.splitlines()
    assert rows[0].split() == ["version", "when", "who", "what", "size", "path"]
    assert "film/cut -> film/final" in rows[2]
    none = station.run("history", "demo:film/x", "--passphrase-file", station.words)
    assert none.line == "nothing called film/x was ever in this project"
    outside = station.run("history", "/etc/passwd", "--passphrase-file", station.words)
    assert "lies in no project that is mounted here" in outside.line
