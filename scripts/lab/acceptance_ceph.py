"""Ceph as the store: the contract of a bucket over its gateway, and the main job on top."""

from __future__ import annotations

import os
import sys
import tempfile

from lab import ceph
from lab.command import run
from lab.places import REPOSITORY

PACKAGES = ceph.PACKAGES


def run_alone(_extent: float) -> str:
    """Run `tests/ceph_store.py`; see there."""
    with tempfile.TemporaryDirectory() as scratch:
        said = run(
            [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp",
             f"{scratch}/tests", str(REPOSITORY / "tests" / "ceph_store.py")],
            env={**os.environ, "PYTHONPATH": ""},
            within=1200,
        )  # fmt: skip
    return said.strip().splitlines()[-1]
