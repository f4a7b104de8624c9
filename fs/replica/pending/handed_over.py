"""A lease goes to another node in the entry that carries the last that was done under it, or behind it.

It may not overtake that: who gets the lease reads the log up to the entry that gives it, and no further,
before he works under it (docs/design/0012-leases.md, rule 4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import NAMES_LEASE, Lease
from lucidnode.fs.replica.pending.whole_contents import Contents, Shipping
from lucidnode.fs.replica.pending.write_set import Step

DirectoriesOf = Callable[[InodeNo], Collection[InodeNo]]


def would_overtake(
    lease: Lease | None,
    held: Iterable[Step],
    contents: Contents,
    shipping: Shipping,
    directories_of: DirectoriesOf,
) -> bool:
    """Tell whether *lease* is one that may not come before all of *held*, which was done before it.

    Under that of a directory names are made, and these wait no longer than *shipping* says. Under that of
    a file's locks its content is changed, its directories, and other files in them, as far as they are whole.
    """
    if lease is None or not lease.behind:
        return False
    if lease.name == NAMES_LEASE:
        made = any(step.names == lease.ino for step in held)
        return made and not shipping.may_give(lease.ino)
    directories = set(directories_of(lease.ino))
    touched = directories | {lease.ino}
    return any(
        not touched.isdisjoint(step.touches.inodes)
        or (
            step.content is not None
            and step.content not in contents.unfinished
            and not directories.isdisjoint(directories_of(step.content))
        )
        for step in held
    )
