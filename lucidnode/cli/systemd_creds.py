"""Secrets that systemd seals for this machine, or for its TPM: the door to `systemd-creds`."""

from __future__ import annotations

import shutil
import subprocess

from lucidnode.node.client.errors import Unavailable

_WAIT_S = 30.0


def encrypt(name: str, secret: bytes, with_key: str = "auto") -> bytes:
    """Return *secret* as systemd-creds seals it under *name*, as text. Raises Unavailable, a sentence.

    *with_key* is one of its own words: `auto` is the TPM if there is one, and a key of the machine's disk.
    """
    return _run("seal", ["encrypt", f"--name={name}", f"--with-key={with_key}", "-", "-"], secret)


def decrypt(name: str, sealed: bytes) -> bytes:
    """Return the secret in *sealed*. Raises Unavailable, a sentence."""
    return _run("open", ["decrypt", f"--name={name}", "-", "-"], sealed)


def _run(verb: str, words: list[str], given: bytes) -> bytes:
    tool = shutil.which("systemd-creds")
    if tool is None:
        raise Unavailable(f"systemd-creds, which would {verb} the secret, is not installed")
    try:
        done = subprocess.run(  # noqa: S603  # a fixed tool; the secret goes by a pipe
            [tool, *words], input=given, capture_output=True, check=False, timeout=_WAIT_S
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"systemd-creds does not {verb} the secret: it does not answer") from None
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines()]
        why = next((line for line in said if line), f"exit code {done.returncode}")
        raise Unavailable(f"systemd-creds does not {verb} the secret: {why}")
    return done.stdout
