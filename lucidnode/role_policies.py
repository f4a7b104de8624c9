"""The smallest rights in the bucket with which each role works, in the words of a store. Pure.

What a workstation does there (docs/security.md, "Credentials by role"): everybody reads and lists. Who
writes adds blocks and checkpoints, and creates entries of logs, which nobody changes or deletes, and
the parts of invitations. Only owners delete what nothing needs, so they are who collects; and they keep
what belongs to recovery codes and the credentials of roles.
"""

from __future__ import annotations

import json
from typing import Literal

from lucidnode.node.client.roster_entry import Role

PolicyStore = Literal["aws", "minio", "seaweedfs"]

_LOGS = ("roster/*", "p/*/journal/*")
"""Created if absent, and never written to again."""

_ONCE_OF_WRITERS = (*_LOGS, "invitations/*")
"""Invitations too: an owner may let an editor invite."""

_ONCE_OF_OWNERS = ("credentials/*",)
_OF_WRITERS = ("p/*/block/*", "p/*/checkpoint/*", "rendezvous/*", ".probe/*")
_OF_OWNERS = ("studio", "recovery/*")

_DELETED_BY_WRITERS = ("rendezvous/*", ".probe/*")
"""Their own: what no file is made of."""

_DELETED_BY_OWNERS = ("p/*/block/*", "p/*/checkpoint/*", "invitations/*", "recovery/*")

_IF_ABSENT = {"Null": {"s3:if-none-match": "false"}}


def policy(role: Role, store: PolicyStore, bucket: str, prefix: str) -> str:
    """Return what to give *store* for *role*, as indented JSON: a policy, or what s3.json needs of it."""
    statements = _statements(role, bucket, prefix, if_absent=store == "aws")
    document = {"Version": "2012-10-17", "Statement": statements}
    if store == "seaweedfs":
        name = f"lucidnode-{role}"
        keys = {"accessKey": "ACCESS KEY", "secretKey": "SECRET KEY"}
        found: dict[str, object] = {
            "identities": [{"name": name, "credentials": [keys], "policyNames": [name]}],
            "policies": [{"name": name, "content": json.dumps(document)}],
        }
        return json.dumps(found, indent=2)
    return json.dumps(document, indent=2)


def left_open(role: Role, store: PolicyStore) -> str:
    """Return the sentence that says what *store* cannot be told; empty if it can be told all."""
    if role == "viewer" or store == "aws":
        return ""
    said = (
        "this store cannot be told that objects of journal/ and roster/ are created once: whoever has "
        "these credentials can overwrite them. Workstations create them conditionally all the same, "
        "and notice one that was replaced"
    )
    if store == "seaweedfs":
        said += (
            ". In its older form, `actions` such as Write, it cannot tell writing from deleting: "
            "use the policy"
        )
    return said


def _statements(
    role: Role, bucket: str, prefix: str, *, if_absent: bool
) -> list[dict[str, object]]:
    whole = f"arn:aws:s3:::{bucket}"
    below = f"{whole}/{prefix}/" if prefix else f"{whole}/"
    # Listing without a condition: only who may list hears that an object is missing.
    statements: list[dict[str, object]] = [
        {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": whole},
        {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{below}*"},
    ]
    if role == "viewer":
        return statements

    def allow(sid: str, action: str, keys: tuple[str, ...]) -> dict[str, object]:
        resources = [below + key for key in keys]
        return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}

    of_owner = role == "owner"
    once = _ONCE_OF_WRITERS + (_ONCE_OF_OWNERS if of_owner else ())
    statements.append(
        allow("CreateOnce", "s3:PutObject", once) | ({"Condition": _IF_ABSENT} if if_absent else {})
    )
    statements.append(
        allow("Write", "s3:PutObject", _OF_WRITERS + (_OF_OWNERS if of_owner else ()))
    )
    deleted = _DELETED_BY_WRITERS + (_DELETED_BY_OWNERS if of_owner else ())
    statements.append(allow("Delete", "s3:DeleteObject", deleted))
    return statements
