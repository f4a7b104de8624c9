"""What is installed is what is in the tree: nothing missing from the wheel, no link gone astray."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from lab.places import REPOSITORY

PLANES = ("node", "discovery", "fs")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def packages_in_tree() -> set[str]:
    """Return the import name of every folder that holds Python files."""
    found = set()
    for top in ("lucidnode", *PLANES):
        for folder, folders, files in os.walk(REPOSITORY / top, followlinks=False):
            folders[:] = [name for name in folders if name != "__pycache__"]
            if any(name.endswith(".py") for name in files):
                parts = Path(folder).relative_to(REPOSITORY).parts
                found.add(".".join(parts if top == "lucidnode" else ("lucidnode", *parts)))
    return found


def test_every_package_is_listed_for_the_wheel(project: dict[str, Any]) -> None:
    assert set(project["tool"]["setuptools"]["packages"]) == packages_in_tree()


def test_every_package_has_its_init_file() -> None:
    assert all(
        (REPOSITORY / name.replace(".", "/") / "__init__.py").exists()
        for name in packages_in_tree()
    )


@pytest.mark.parametrize("plane", PLANES)
def test_link_of_a_plane_leads_to_its_folder(plane: str, project: dict[str, Any]) -> None:
    assert (REPOSITORY / "lucidnode" / plane).readlink() == Path("..") / plane
    assert project["tool"]["setuptools"]["package-dir"][f"lucidnode.{plane}"] == plane


def test_package_data_patterns_match_every_file_that_is_no_python(project: dict[str, Any]) -> None:
    patterns = project["tool"]["setuptools"]["package-data"]
    for name in packages_in_tree():
        folder = REPOSITORY / name.replace(".", "/")
        listed = {path for each in patterns.get(name, []) for path in folder.glob(each)}
        data = {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}
        assert data == listed


def test_everything_imported_is_declared(project: dict[str, Any]) -> None:
    """A dependency that is there only because another one brings it would vanish with that."""
    # botocore is boto3's lower half, released together with it.
    own = {"lucidnode", "botocore"}
    optional = {
        line for extra in project["project"]["optional-dependencies"].values() for line in extra
    }
    declared = {
        re.split(r"[<>=!\[ ]", line)[0].lower().replace("_", "-")
        for line in (*project["project"]["dependencies"], *optional)
    }
    provided_by = importlib.metadata.packages_distributions()
    for top in ("lucidnode", *PLANES):
        for source in (REPOSITORY / top).rglob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) (\w+)", source.read_text(), re.MULTILINE)
            for module in set(imported) - own:
                makers = {name.lower().replace("_", "-") for name in provided_by.get(module, [])}
                assert not makers or makers & declared, f"{source}: {module} is not declared"


def test_scripts_can_be_run() -> None:
    for name in ("setup", "test", "lan", "demo", "bench", "node-entry", "../.ci/run"):
        assert os.access(REPOSITORY / "scripts" / name, os.X_OK), name
