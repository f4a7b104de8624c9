"""What a command prints with `--json`, held against the documented schema."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft201909Validator  # type: ignore[import-untyped]
from lab.places import REPOSITORY

SCHEMA: dict[str, Any] = json.loads((REPOSITORY / "docs" / "json-1.schema.json").read_text("utf-8"))


def in_lines(command: str) -> bool:
    """Tell whether *command* prints one object in each line."""
    return "$comment" in SCHEMA["properties"][command]


def command_of(words: tuple[str, ...]) -> str:
    """Return which command of the schema *words* are: `config list`, `status`."""
    plain = [word for word in words if not word.startswith("-")]
    two = " ".join(plain[:2])
    return two if two in SCHEMA["properties"] else plain[0]


def faults(command: str, printed: Any) -> list[str]:
    """Return what is wrong with *printed*, which *command* printed; nothing if it is as documented."""
    return [
        f"{error.json_path}: {error.message}" for error in _validator(command).iter_errors(printed)
    ]


def check(words: tuple[str, ...], out: str) -> None:
    """Fail if *out*, what `lucidnode WORDS` printed, is not what the schema says."""
    command = command_of(words)
    texts = out.splitlines() if in_lines(command) else [out]
    for text in texts:
        found = faults(command, json.loads(text))
        assert not found, f"{command}: docs/json-1.schema.json: {found}"


@cache
def _validator(command: str) -> Any:
    wanted = {"$defs": SCHEMA["$defs"], **SCHEMA["properties"][command]}
    return Draft201909Validator(wanted)
