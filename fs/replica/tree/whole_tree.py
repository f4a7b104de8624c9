"""Whether the replicated tables make a tree, looked at as a whole: for rows that no entry brought.

The rules are those of tree_rules.py (docs/format.md, "What an entry may change"), which look at
what one entry changed, and those for single rows; here nothing is taken for granted. Takes some
microseconds a row, and memory for the directories alone.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.whole_rows import ROW_BREACHES

_Question = tuple[str, str, tuple[bytes, ...]]
"""What is broken if a query with these bindings finds something."""

_BREACHES = (
    ("no root", "SELECT 1 WHERE (SELECT kind FROM inode WHERE ino = 1) IS NOT 4"),
    (
        "a name in what is no directory",
        """SELECT 1 FROM name n LEFT JOIN inode i ON i.ino = n.parent
           WHERE i.kind IS NOT 4 LIMIT 1""",
    ),
    (
        "a name of a file that does not exist",
        """SELECT 1 FROM name n WHERE NOT EXISTS (SELECT 1 FROM inode WHERE ino = n.ino) LIMIT 1""",
    ),
    (
        "a count of links that is not the number of names",
        """SELECT 1 FROM inode i WHERE i.nlink != CASE i.kind
           WHEN 4 THEN 2 + (SELECT count(*) FROM name n JOIN inode c ON c.ino = n.ino
                            WHERE n.parent = i.ino AND c.kind = 4)
           ELSE (SELECT count(*) FROM name n WHERE n.ino = i.ino) END LIMIT 1""",
    ),
    (
        "a directory that is not in exactly one place",
        """SELECT 1 FROM inode i WHERE i.kind = 4 AND i.ino != 1
           AND (SELECT count(*) FROM name n WHERE n.ino = i.ino) != 1 LIMIT 1""",
    ),
    (
        "a directory that lies in itself",
        """WITH RECURSIVE below (ino) AS (
               VALUES (1)
               UNION SELECT n.ino FROM below JOIN name n ON n.parent = below.ino
                     JOIN inode i ON i.ino = n.ino WHERE i.kind = 4)
           SELECT 1 WHERE (SELECT count(*) FROM below)
               != (SELECT count(*) FROM inode WHERE kind = 4)""",
    ),
    (
        "an extent without its file, or past its end",
        """SELECT 1 FROM extent e LEFT JOIN inode i ON i.ino = e.ino
           WHERE i.kind IS NOT 8 OR e.offset + e.length > i.size LIMIT 1""",
    ),
    (
        "an extent over another",
        """SELECT 1 FROM (
               SELECT ino, offset, lag(offset + length) OVER (PARTITION BY ino ORDER BY offset) AS end
               FROM extent) WHERE end > offset LIMIT 1""",
    ),
    (
        "an attribute of a file that does not exist",
        """SELECT 1 FROM xattr x WHERE NOT EXISTS (SELECT 1 FROM inode WHERE ino = x.ino) LIMIT 1""",
    ),
)

_PAST_A_BLOCK = """SELECT 1 FROM extent e LEFT JOIN block b ON b.id = e.block
    WHERE e.block >= ? AND e.block < ?
    AND (b.size IS NULL OR e.block_offset + e.length > b.size) LIMIT 1"""
"""Ids end below a byte more than they have."""

_BLOCKS_AT_ONCE = 400_000
"""The rows of so many blocks, of some 80 bytes each, fit into the cache of a connection. To look for all of
them anywhere would be a page of the file for each; to sort extents by them takes longer, and memory."""


def check_whole_tree(*databases: Database) -> None:
    """Raise ChangesetUnfit if the replicated tables break what a tree is.

    Each of *databases* shows the same ones, and is asked in a thread of its own.
    """
    waiting = deque(_questions(databases[0]))

    def work(database: Database) -> None:
        try:
            while waiting:
                breach, query, bindings = waiting.popleft()
                if database.row(query, bindings) is not None:
                    raise ChangesetUnfit(breach)
        finally:
            waiting.clear()

    with ThreadPoolExecutor(len(databases)) as threads:
        for done in [threads.submit(work, database) for database in databases]:
            done.result()


def _questions(database: Database) -> list[_Question]:
    """Return what is to be asked, what takes longest first."""
    blocks = database.row("SELECT count(*) FROM block") or (0,)
    ranges = ranges_of_ids(min(256, 1 + int(blocks[0]) // _BLOCKS_AT_ONCE))
    return [
        *(("an extent without its block, or past its end", _PAST_A_BLOCK, each) for each in ranges),
        *((breach, query, ()) for breach, query in (*ROW_BREACHES, *_BREACHES)),
    ]


def ranges_of_ids(parts: int) -> list[tuple[bytes, bytes]]:
    """Return [least, end) of so many ranges, 256 at most, of about as many ids each: they are hashes."""
    bounds = [b"", *(bytes([256 * part // parts]) for part in range(1, parts)), b"\xff" * 33]
    return list(pairwise(bounds))
