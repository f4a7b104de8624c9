"""The schema of `--json`, the page about it, and the commands that have it, are the same."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest
from json_schema import SCHEMA, command_of, faults, in_lines
from jsonschema import Draft201909Validator  # type: ignore[import-untyped]
from lab.places import REPOSITORY

from lucidnode.cli.app import cli
from lucidnode.cli.output import JSON_VERSION


def _with_json(group: click.Group, *before: str) -> set[str]:
    context, found = click.Context(group), set[str]()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if any("--json" in option.opts for option in command.params):
            found.add(" ".join((*before, name)))
        if isinstance(command, click.Group):
            found |= _with_json(command, *before, name)
    return found


def test_each_command_that_prints_json_is_in_the_schema_and_on_the_page() -> None:
    Draft201909Validator.check_schema(SCHEMA)
    assert SCHEMA["version"] == JSON_VERSION
    assert set(SCHEMA["properties"]) == _with_json(cli)
    page = (REPOSITORY / "docs" / "json.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z -]+)` \| .+? \| (.*) \|$", page, re.MULTILINE))
    assert rows == {name: _fields(shape) for name, shape in SCHEMA["properties"].items()}
    assert f"JSON {JSON_VERSION}" in page


def _fields(shape: dict[str, Any]) -> str:
    """Return how the page names the fields of *shape*."""
    if "$ref" in shape:
        return _fields(SCHEMA["$defs"][shape["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in shape:
        return " or ".join(map(_fields, shape["anyOf"]))
    if "properties" not in shape:
        return "one of each name"
    return ", ".join(f"`{name}`" for name in shape["properties"])


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("status --json", "status"),
        ("lock list demo --json", "lock list"),
        ("invite --json --unattended", "invite"),
        ("invite answer --json", "invite answer"),
        ("why /drive/film.mov --json", "why"),
    ],
)
def test_what_was_typed_is_known_in_the_schema(words: str, command: str) -> None:
    assert command_of(tuple(words.split())) == command


def test_what_is_not_as_documented_is_found() -> None:
    cache = {"bytes": 1, "blocks": 1, "limit": 1, "disk_free": 1, "pinned_bytes": 1}
    assert faults("cache show", cache) == []
    assert faults("cache show", cache | {"bytes": "1"})
    assert faults("cache show", cache | {"more": 1}), "what is printed is documented"
    del cache["limit"]
    assert faults("cache show", cache)
    assert faults("invite", {"id": "a", "ticket": "b", "code": "c"}) == []
    assert faults("invite", {"id": "a", "ticket": "b"})
    assert in_lines("events")
    assert not in_lines("status")
