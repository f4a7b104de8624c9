"""A user who does what users do, by chance."""

from __future__ import annotations

from random import Random  # noqa: TID251 - seeded: a failure can be repeated

from replica_fixture import Node

from lucidnode.fs.replica.inode import ROOT, Kind
from lucidnode.fs.replica.intents import Link, Rename, Unlink


def do_something(node: Node, random: Random) -> None:
    """Have a user do one of the things that users do, wherever it is possible."""
    names = [(ROOT, name) for name in node.names()]
    for parent, name in list(names):
        found = node.found(name, parent)
        if found.is_directory:
            names += [(found.ino, inner) for inner in node.names(found.ino)]
    directories = [ROOT] + [
        found.ino for found in (node.found(n, p) for p, n in names) if found.is_directory
    ]
    fresh = b"%d" % random.randrange(10**9)
    parent = random.choice(directories)
    files = [(p, n) for p, n in names if node.found(n, p).kind is Kind.FILE]
    match random.randrange(8):
        case 0 if len(directories) < 4:
            node.mkdir(fresh)
        case 1 if files:
            p, n = random.choice(files)
            node.replica.apply(Unlink(p, n, node.time()))
        case 2 if files:
            p, n = random.choice(files)
            node.replica.apply(Rename(p, n, parent, fresh, node.time()))
        case 3 if len(files) > 1:
            (p, n), (q, m) = random.sample(files, 2)
            node.replica.apply(Rename(p, n, q, m, node.time()))
        case 4 if files:
            p, n = random.choice(files)
            node.replica.apply(Link(node.found(n, p).ino, parent, fresh, node.time()))
        case 5 if files:
            p, n = random.choice(files)
            node.set_xattr(node.found(n, p).ino, b"user.grade", fresh)
        case 6 if files:
            p, n = random.choice(files)
            node.write(node.found(n, p).ino, fresh, random.randrange(20))
        case _:
            node.write(node.create(fresh, parent), fresh * 3)
