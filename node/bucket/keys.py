"""The names of objects in the bucket, format 1 (docs/format.md, "Bucket layout").

    studio                          roster/<seq>                   recovery/<id>
    p/<project>/journal/<seq>       p/<project>/block/<aa>/<block id>
    p/<project>/checkpoint/<seq>   invitations/<id>/offer, request, answer
    credentials/<role>/<number>     rendezvous/<device>/<seconds>
                                    rendezvous/<device>/<instance>

A seq is 16 decimal digits, so that keys sort as numbers do; `aa` are the first two of the id.
"""

from __future__ import annotations

import re
from typing import Literal

from lucidnode.node.client.attestation import attestation_name
from lucidnode.node.client.ids import BlockId, DeviceId, ProjectId, Seq
from lucidnode.node.client.role_credentials import SetName

STUDIO = "studio"
ROSTER = "roster"
RECOVERY = "recovery"
INVITATIONS = "invitations"
RENDEZVOUS = "rendezvous"
CREDENTIALS = "credentials"

FOLDERS = (ROSTER, RECOVERY, INVITATIONS, "p")
"""All that a studio needs in any store lies below these; `studio` is for people who look."""

Kind = Literal["block", "journal", "roster", "other"]

_SEGMENT = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def roster_key(seq: Seq) -> str:
    """Return where entry *seq* of the membership log is kept."""
    return f"{ROSTER}/{seq:016d}"


def recovery_key(name: str) -> str:
    """Return where what a recovery code opens is kept; *name* is made of the code."""
    return f"{RECOVERY}/{name}"


def invitation_key(ident: str, part: str) -> str:
    """Return where a part of the invitation *ident*, 32 hex digits, is kept."""
    return f"{INVITATIONS}/{ident}/{part}"


def credentials_key(name: SetName) -> str:
    """Return where the credentials of a role are kept."""
    return f"{CREDENTIALS}/{name}"


def rendezvous_key(device: DeviceId, seconds: int) -> str:
    """Return where *device* says at a time, in seconds since 1970, how it can be reached."""
    return f"{RENDEZVOUS}/{device}/{seconds:012d}"


def project_prefix(project: ProjectId) -> str:
    """Return the folder of all that a project has in the bucket."""
    return f"p/{project}"


def journal_prefix(project: ProjectId) -> str:
    """Return the folder of the project's journal."""
    return f"p/{project}/journal"


def journal_key(project: ProjectId, seq: Seq) -> str:
    """Return where entry *seq* of the project's journal is kept."""
    return f"{journal_prefix(project)}/{seq:016d}"


def checkpoint_prefix(project: ProjectId) -> str:
    """Return the folder of the project's checkpoints."""
    return f"p/{project}/checkpoint"


def checkpoint_key(project: ProjectId, seq: Seq) -> str:
    """Return where the manifest of the checkpoint at entry *seq* is kept."""
    return f"{checkpoint_prefix(project)}/{seq:016d}"


def attestation_key(project: ProjectId, seq: Seq, device: DeviceId) -> str:
    """Return where the word of *device* is kept, that the checkpoint at entry *seq* is true."""
    return f"{checkpoint_prefix(project)}/{attestation_name(seq, device)}"


def block_prefix(project: ProjectId) -> str:
    """Return the folder of the project's blocks."""
    return f"p/{project}/block"


def block_key(project: ProjectId, block: BlockId) -> str:
    """Return where the project's block is kept."""
    name = block.hex()
    return f"p/{project}/block/{name[:2]}/{name}"


def kind_of(key: str) -> Kind:
    """Return what sort of object *key* names; for counting only."""
    match key.split("/"):
        case ["p", _, "block", *_]:
            return "block"
        case ["p", _, "journal", *_]:
            return "journal"
        case ["roster", *_]:
            return "roster"
        case _:
            return "other"


def is_key(text: str) -> bool:
    """Tell whether *text* is a key any store takes as it is: plain segments, no `.` or `..`.

    Engines assert it, so that no key can leave a directory or need an encoding in a URL.
    """
    return _KEY.fullmatch(text) is not None
