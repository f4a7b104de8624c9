"""The house rules that no other tool holds."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
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


DOORS = {
    "aiohttp": (
        "node/bucket/http.py",
        "node/bucket/straight.py",
        "node/callers.py",
        "node/client/daemon_socket/mounts.py",
        "node/client/daemon_socket/transport.py",
        "node/daemon_socket/",
        "node/dashboard/",
        "node/peers/",
        "node/webhooks/delivery.py",
    ),
    "apsw": ("fs/replica/sqlite/",),
    "boto3": ("node/bucket/machine_credentials.py",),
    "botocore": ("node/bucket/machine_credentials.py",),
    "cryptography": (
        "node/client/device_seal.py",
        "node/client/public_keys.py",
        "node/client/role_credentials.py",
        "node/identity.py",
        "node/peers/rendezvous_record.py",
        "node/studio_settings.py",
        "node/sealed_file.py",
    ),
    "fsspec": ("lucidnode/fsspec_files.py",),
    "jeepney": ("lucidnode/cli/sleep_watch.py",),
    "nacl": ("fs/format/sodium.py",),
    "obstore": ("node/bucket/cloud_objects.py",),
    "prometheus_client": ("node/status/metrics.py",),
    "psutil": ("discovery/interfaces.py",),
    "pyfuse3": ("fs/kernel/",),
    "spake2": ("lucidnode/pairing.py",),
    "segno": ("lucidnode/cli/qr_code.py",),
    "zeroconf": ("discovery/mdns.py", "discovery/listening.py", "discovery/inviters.py"),
}
"""Where each library that does I/O or cryptography may be imported."""


def imported(path: Path) -> set[str]:
    """Return the first names of all that *path* imports, wherever in it that is."""
    names: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            names.add(item.module.partition(".")[0])
    return names


def test_a_library_comes_in_by_its_door() -> None:
    elsewhere = [
        (str(path.relative_to(REPOSITORY)), library)
        for path in sources()
        for library in imported(path) & DOORS.keys()
        if not str(path.relative_to(REPOSITORY)).startswith(DOORS[library])
    ]
    assert elsewhere == []


UNITS = re.compile(r"_?[KMG]IB$|GIGABYTE$")
"""Constants that are a unit themselves."""

TIMES = re.compile(r"_(SECONDS|TIMEOUT|INTERVAL|PAUSE|DELAY|AGE|DEADLINE)(_|$)")
SHARES = re.compile(r"_?(SHARE|FACTOR|PART|BURST)$|_(SHARE|FACTOR|PART|BURST)$")


def constants(source: str) -> Iterator[tuple[str, ast.expr]]:
    """Give the constants that *source* defines for all of a module, each of a tuple by itself."""
    for item in ast.parse(source).body:
        if isinstance(item, ast.Assign) and len(item.targets) == 1:
            target, value = item.targets[0], item.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                yield from (
                    (ast.unparse(n), v) for n, v in zip(target.elts, value.elts, strict=True)
                )
            elif ast.unparse(target).isupper():
                yield ast.unparse(target), value


def unit_that_is_missing(name: str, value: ast.expr) -> str | None:
    """Return the unit that *name* must end in for what *value* shows, None if it does.

    A number with a point is seconds or a share; a multiple of 1,024 is bytes; a name of a time is
    seconds. All else is a count, a version, or what a format fixes.
    """
    numbers = [
        node.value
        for node in ast.walk(value)
        if isinstance(node, ast.Constant) and type(node.value) in {int, float}
    ]
    units = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    is_sum = isinstance(value, ast.Name | ast.BinOp | ast.Constant | ast.UnaryOp | ast.Tuple)
    if not is_sum or UNITS.match(name):
        return None
    if (1024 in numbers and isinstance(value, ast.BinOp)) or any(map(UNITS.match, units)):
        return None if re.search(r"BYTES(_|$)|_[KMG]IB$", name) else "_BYTES"
    if TIMES.search(name) or any(type(number) is float for number in numbers):
        return None if name.endswith(("_S", "_MS")) or SHARES.search(name) else "_S"
    return None


def test_constants_that_have_a_unit_say_it() -> None:
    missing = {
        f"{path.relative_to(REPOSITORY)}: {name}": unit
        for path in sources()
        for name, value in constants(path.read_text())
        if (unit := unit_that_is_missing(name, value))
    }
    assert missing == {}


@pytest.mark.parametrize(
    ("line", "unit"),
    [
        ("_ANSWER = 15.0", "_S"),
        ("_LOOK_INTERVAL = 5", "_S"),
        ("_FIRST, _LAST = 0.5, 30.0", "_S"),
        ("_ASK = (0.1, 5.0)", "_S"),
        ("_PIECE = 64 * 1024", "_BYTES"),
        ("_PIECE = 8 * MIB", "_BYTES"),
        ("_LIMIT = 1024**3", "_BYTES"),
        ("_ANSWER_S = 15.0", None),
        ("_PIECE_BYTES = 64 * 1024", None),
        ("MAX_SHARE = 0.5", None),
        ("MIB = 1024 * 1024", None),
        ("MAX_PEERS = 1024", None),
        ("_OTHER = 3 * PEERS", None),
    ],
)
def test_a_unit_is_known_by_the_number_and_by_the_name(line: str, unit: str | None) -> None:
    name, value = next(constants(line))
    assert unit_that_is_missing(name, value) == unit


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
