"""What a caller of the bucket can meet beyond the tree of `lucidnode.node.client.errors`.

NodeError
├── AlreadyThere     create: an object of that name exists; ours of a lost answer, or another's
├── Unsettled        create: nobody knows whether it happened; read back before believing anything
├── Refused
│   ├── WrongBucket  there is no such bucket, or nobody here may use it: tell a person
│   └── StoreUnfit   it cannot carry a journal; the message says what it did wrong
├── Unavailable
│   ├── Unreachable  nobody answered at all: network, proxy, TLS, or a store that is silent
│   └── AccessDenied
└── Corrupt
    └── Oversize     larger than any object of ours, by the store's own word; says how large

Every message is one sentence for a person. It names the bucket, never a key or a secret.
"""

from __future__ import annotations

from lucidnode.node.client.errors import Corrupt, NodeError, Refused, Unavailable


class AlreadyThere(NodeError):
    """The name is taken. The body there may still be our own, from a try whose answer was lost."""


class Unsettled(NodeError):
    """A create that may or may not have been applied, now or later."""


class WrongBucket(Refused):
    """The address leads to no bucket that can be used."""


class Unreachable(Unavailable):
    """No answer came: whether the store would give one is not known."""


class Oversize(Corrupt):
    """An object over MAX_OBJECT_BYTES. No reader holds it; `fingerprint` tells what chains need of it."""

    def __init__(self, name: str, size: int) -> None:
        """*size* is that of the whole object in bytes."""
        super().__init__(f"{name} has {size} bytes, more than any object of ours")
        self.size = size


class StoreUnfit(Refused):
    """The store does not keep the promise the journal stands on."""
