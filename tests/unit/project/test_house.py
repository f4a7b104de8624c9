"""The house rules that no other tool holds."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from lab.layers import PAGE, drawing, drawn
from lab.places import REPOSITORY

PLANES = ("node", "discovery", "fs", "lucidnode/cli")


def sources() -> list[Path]:
    top = list((REPOSITORY / "lucidnode").glob("*.py"))
    return [*top, *(path for plane in PLANES for path in (REPOSITORY / plane).rglob("*.py"))]


def public_classes(path: Path) -> set[str]:
    """Return the names of the public classes that *path* defines."""
    body = ast.parse(path.read_text()).body
    return {item.name for item in body if isinstance(item, ast.ClassDef) and item.name[0] != "_"}


def test_no_two_public_classes_share_a_name() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sources():
        for name in public_classes(path):
            found[name].append(str(path.relative_to(REPOSITORY)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


def test_architecture_shows_the_imports_as_they_are() -> None:
    page = PAGE.read_text()
    assert drawn(page, drawing()) == page, "run scripts/layers"


def test_the_plaintext_plane_is_forbidden_all_of_node_but_its_client(
    pyproject: dict[str, Any],
) -> None:
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if "of node it knows client alone" in each["name"]]
    rooms = {
        path.stem
        for path in (REPOSITORY / "node").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    listed = set(contract["forbidden_modules"])
    assert {f"lucidnode.node.{room}" for room in rooms - {"__init__", "client"}} <= listed


@pytest.fixture
def pyproject() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
