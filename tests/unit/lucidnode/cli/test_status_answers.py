"""`lucidnode status` answers four questions before anything else."""

from __future__ import annotations

from typing import Any

from lucidnode.cli.status_answers import moving_cells, status_answers

NOTHING: dict[str, Any] = {
    "device": "d" * 32,
    "me": None,
    "mounts": [],
    "persistent": [],
    "alerts": [],
    "on_their_way": [],
    "uploads": {"blocks": 0, "bytes": 0, "bytes_per_second": 0, "seconds_left": 0.0},
    "speed": {"read_bytes": 0, "from_cloud_bytes": 0, "colleague_ms": None, "cloud_ms": None},
}
MOUNT = {"pending": 0, "conflicts": 0}


def answers(**found: Any) -> dict[str, str]:
    return dict(status_answers(NOTHING | {"mounts": [MOUNT]} | found))


def test_a_fresh_workstation_has_nothing_to_do() -> None:
    assert dict(status_answers(NOTHING)) == {
        "you": "workstation dddddddd; names show once something is mounted",
        "your work": "safe in the cloud, all of it",
        "your drives": "nothing is mounted",
        "to do": "nothing",
    }


def test_who_works_here() -> None:
    me = {"member": "berta", "role": "editor", "workstation": "studio-b"}
    assert answers(me=me)["you"] == "berta (editor) at studio-b"
    assert answers(me=me | {"role": ""})["you"] == "berta at studio-b"


def test_work_is_said_to_be_in_the_cloud_only_when_all_of_it_is() -> None:
    uploads: dict[str, Any] = {
        "blocks": 3,
        "bytes": 12_000_000,
        "bytes_per_second": 0,
        "seconds_left": None,
    }
    safe = "safe on this disk; on its way to the cloud: "
    assert answers(uploads=uploads)["your work"] == safe + "12.0 MB in 3 blocks"
    uploads |= {"bytes_per_second": 3_000_000, "seconds_left": 4.0}
    assert (
        answers(uploads=uploads)["your work"] == safe + "12.0 MB in 3 blocks, at 3.0 MB/s 4 s left"
    )
    assert answers(mounts=[MOUNT | {"pending": 2}])["your work"] == safe + "2 changes"
    file = {"device": "", "state": "writing"}
    assert "1 file that a program still writes" in answers(on_their_way=[file])["your work"]
    theirs = {"device": "ada", "state": "writing"}
    assert answers(on_their_way=[theirs])["your work"] == "safe in the cloud, all of it"
    for topic in ("unsent", "mount-lost"):
        left = [{"topic": f"{topic}:{'5' * 32}"}]
        assert "perhaps not all of it is on its way" in answers(alerts=left)["your work"]
    missing = [{"topic": "cache-disk"}]
    assert (
        "perhaps not all here: the disk of the cache is missing or fails"
        in answers(alerts=missing)["your work"]
    )


def test_how_fast_a_drive_is_comes_from_what_was_read() -> None:
    assert answers()["your drives"] == "nothing read yet since the daemon started"
    speed = {"read_bytes": 1_000_000, "from_cloud_bytes": 30_000}
    never = {"colleague_ms": None, "cloud_ms": None}
    said = "97% of 1.0 MB read came from this office"
    assert answers(speed=speed | never)["your drives"] == said
    took = {"colleague_ms": 10.0, "cloud_ms": 300.0}
    assert answers(speed=speed | took)["your drives"] == (
        said
        + "; half of the blocks came within 10 ms from a colleague, within 300 ms from the cloud"
    )


def test_what_there_is_to_do_is_counted() -> None:
    away = {"mounted": False}
    assert answers(persistent=[away], alerts=[{"topic": "bucket"}])["to do"] == (
        "look at 2 lines marked ! below"
    )
    assert answers(mounts=[MOUNT | {"conflicts": 1}])["to do"] == "settle 1 conflict"


def test_each_file_on_its_way_has_what_is_left_its_rate_and_the_time_left() -> None:
    file: dict[str, Any] = {
        "mountpoint": "/home/ada/demo",
        "path": "shot 1.mov",
        "state": "uploading",
        "device": "",
        "bytes_left": 5_000_000_000,
    }
    ours = ["/home/ada/demo/shot 1.mov", "uploading", "this workstation"]
    # A daemon of an earlier release tells no more.
    assert moving_cells(file) == [*ours, "5.0 GB", "", ""]
    file |= {"bytes": 7_000_000_000, "bytes_per_second": 0, "seconds_left": None}
    assert moving_cells(file) == [*ours, "5.0 GB of 7.0 GB", "", ""]
    file |= {"bytes_per_second": 50_000_000, "seconds_left": 100.0}
    assert moving_cells(file) == [*ours, "5.0 GB of 7.0 GB", "50.0 MB/s", "2 min"]
    theirs = file | {"device": "edit-2", "bytes_left": None, "bytes": None}
    theirs |= {"bytes_per_second": None, "seconds_left": None}
    assert moving_cells(theirs) == [ours[0], "uploading", "edit-2", "", "", ""]
