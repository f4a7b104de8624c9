"""The list of mounts that come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lucidnode.cli.persistent_mounts import (
    MOUNTS_FILE,
    PersistentMount,
    add,
    check_fits,
    comes_back,
    forget,
    persistent_mounts,
)
from lucidnode.node.client.errors import Refused

DEMO = PersistentMount("demo", "/home/ann/demo", "cloud", read_only=True)
OTHER = PersistentMount("other", "/srv/other", allow_other=True)


def test_what_is_listed_is_read_as_it_was_until_it_is_forgotten(tmp_path: Path) -> None:
    assert persistent_mounts(tmp_path) == []
    add(tmp_path, DEMO)
    add(tmp_path, OTHER)
    assert persistent_mounts(tmp_path) == [DEMO, OTHER]
    assert forget(tmp_path, Path(DEMO.directory))
    assert not forget(tmp_path, Path(DEMO.directory))
    assert persistent_mounts(tmp_path) == [OTHER]
    assert comes_back(tmp_path, Path(OTHER.directory))
    assert (tmp_path / MOUNTS_FILE).stat().st_mode & 0o077 == 0


def test_listing_a_directory_again_replaces_what_was_listed_for_it(tmp_path: Path) -> None:
    add(tmp_path, DEMO)
    changed = PersistentMount("demo", DEMO.directory)
    add(tmp_path, changed)
    assert persistent_mounts(tmp_path) == [changed]


def test_a_project_comes_back_at_one_place(tmp_path: Path) -> None:
    add(tmp_path, DEMO)
    check_fits(tmp_path, DEMO)
    elsewhere = PersistentMount("demo", "/srv/demo")
    for refuses in (check_fits, add):
        with pytest.raises(Refused, match=r"comes back at /home/ann/demo: take that off first"):
            refuses(tmp_path, elsewhere)


def test_what_is_locked_on_opening_comes_back_as_it_was(tmp_path: Path) -> None:
    none = PersistentMount("none", "/srv/none", lock_on_open=["none"], consistency="strict")
    some = PersistentMount(
        "some",
        "/srv/some",
        lock_on_open=["*.psd", "*.nk"],
        locked_elsewhere="busy",
        snapdir="visible",
    )
    for mount in (none, some):
        add(tmp_path, mount)
    assert persistent_mounts(tmp_path) == [none, some]
    assert none.words()[2:-3] == ["--lock-on-open=none", "--consistency=strict"]
    assert some.words()[2:-3] == [
        "--lock-on-open=*.psd", "--lock-on-open=*.nk", "--locked-elsewhere=busy",
        "--snapdir=visible",
    ]  # fmt: skip


def test_options_become_the_words_of_mount() -> None:
    assert DEMO.words() == [
        "mount", "--durability=cloud", "--read-only", "--", "demo", "/home/ann/demo",
    ]  # fmt: skip


GOOD: dict[str, Any] = {"project": "demo", "directory": "/srv/demo"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        json.dumps({"mounts": [GOOD], "more": 1}).encode(),
        json.dumps({"mounts": [GOOD, GOOD]}).encode(),
        json.dumps({"mounts": [GOOD, {**GOOD, "directory": "/srv/two"}]}).encode(),
        *(
            json.dumps({"mounts": [{**GOOD, **wrong}]}).encode()
            for wrong in (
                {"directory": "srv/demo"},
                {"directory": "/srv/../demo"},
                {"directory": "/srv/demo/"},
                {"directory": "/srv/\0"},
                {"directory": "/" + "x" * 5000},
                {"project": ""},
                {"project": "a\0b"},
                {"durability": "never"},
                {"read_only": "no"},
                {"command": "rm"},
            )
        ),
        json.dumps(
            {"mounts": [{"project": f"p{n}", "directory": f"/srv/{n}"} for n in range(300)]}
        ).encode(),
        b" " * (1024 * 1024 + 1) + json.dumps({"mounts": [GOOD]}).encode(),
    ],
)
def test_a_list_of_another_shape_is_refused_with_what_helps(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MOUNTS_FILE).write_bytes(content)
    with pytest.raises(Refused, match=r"is damaged .* list each mount again"):
        persistent_mounts(tmp_path)
