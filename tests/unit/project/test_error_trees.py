"""The tree that an errors.py draws in its docstring is the one that its classes make."""

from __future__ import annotations

import errno
import importlib
import re
from types import ModuleType

import pytest

from lucidnode.node.client import errors as client_errors

MODULES = (
    "lucidnode.discovery.errors",
    "lucidnode.fs.errors",
    "lucidnode.node.bucket.errors",
    "lucidnode.node.client.errors",
    "lucidnode.node.peers.errors",
    "lab.errors",
)

_LINE = re.compile(r"(?P<bars>[│ ]*)[├└]── (?P<name>\w+)(?: +(?P<errno>E[A-Z0-9]{2,})\b)?")


def drawn(module: ModuleType) -> dict[str, tuple[str, str | None]]:
    """Return the parent of each name in the tree, and the errno that is said of it."""
    found: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in (module.__doc__ or "").splitlines():
        if not above and (root := re.match(r"\w+Error\b", line)) is not None:
            above = [root[0]]
        elif above and (match := _LINE.match(line)) is not None:
            depth = len(match["bars"]) // 4 + 1
            above[depth:] = [match["name"]]
            found[match["name"]] = above[depth - 1], match["errno"]
    return found


def classes(module: ModuleType) -> dict[str, type[Exception]]:
    """Return the exceptions that *module* defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_tree_has_each_class_where_it_is(name: str) -> None:
    module = importlib.import_module(name)
    tree = drawn(module)
    assert tree
    bases = {
        each: value.__bases__[0].__name__
        for each, value in classes(module).items()
        if value.__bases__[0] is not Exception
    }
    assert {each: parent for each, (parent, _) in tree.items() if each in bases} == bases
    known = vars(client_errors) | vars(module)  # a tree may show on what it grows
    assert tree.keys() <= known.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_tree_says_each_errno_that_a_class_has_of_its_own(name: str) -> None:
    module = importlib.import_module(name)
    said = {each: number for each, (_, number) in drawn(module).items() if number is not None}
    for each, number in said.items():
        assert getattr(errno, number) == getattr(module, each).errno, each
    own = {
        each
        for each, value in classes(module).items()
        if value.__bases__[0] is not Exception and "errno" in vars(value)
    }
    assert own <= said.keys()
