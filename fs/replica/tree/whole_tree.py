"""Whether the replicated tables make a tree, looked at as a whole: for rows that no entry brought.

The rules are those of tree_rules.py (docs/format.md, "What an entry may change"), which look at
what one entry changed, and those for single rows. Of a row it is taken for granted that each of its
columns is of its type (`COLUMN_TYPES`), and nothing else. Takes a microsecond or two a row, and memory for
the directories alone.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from lucidnode.fs.replica.sqlite.changesets import ChangesetUnfit
from lucidnode.fs.replica.sqlite.database import Database
from lucidnode.fs.replica.tree.whole_rows import BROKEN_IF

_Question = tuple[str, tuple[bytes, ...]]
"""A query, and its bindings; what it finds first says what is broken."""

_DIRECTORIES = """WITH RECURSIVE
    directory (parent, ino) AS MATERIALIZED (
        SELECT n.parent, n.ino FROM inode i CROSS JOIN name n ON n.ino = i.ino WHERE i.kind = 4)"""
"""Directories by where they are: looked up by the few of them, and not by all the names."""

_BREACHES = (
    "SELECT 'no root' WHERE (SELECT kind FROM inode WHERE ino = 1) IS NOT 4",
    # Of each extent the next one is looked at, if it begins too soon.
    f"""SELECT iif({BROKEN_IF["extent"]}, 'an extent that cannot be',
           iif(i.kind IS NOT 8 OR e.offset + e.length > i.size,
               'an extent without its file, or past its end', 'an extent over another'))
       FROM extent e LEFT JOIN inode i ON i.ino = e.ino
       WHERE {BROKEN_IF["extent"]} OR i.kind IS NOT 8 OR e.offset + e.length > i.size OR EXISTS (
           SELECT 1 FROM extent o
           WHERE o.ino = e.ino AND o.offset > e.offset AND o.offset < e.offset + e.length) LIMIT 1""",  # noqa: S608  # ours
    """SELECT CASE WHEN i.kind IS NULL THEN 'a name of a file that does not exist'
           WHEN i.kind = 4 THEN 'a directory that is not in exactly one place'
           ELSE 'a count of links that is not the number of names' END
       FROM (SELECT ino, count(*) AS names FROM name GROUP BY ino) n
       LEFT JOIN inode i ON i.ino = n.ino
       WHERE i.kind IS NULL OR n.names != iif(i.kind = 4, i.ino != 1, i.nlink) LIMIT 1""",
    # Whoever has names has as many as he should: if all have, together, nobody should who has none.
    f"""SELECT iif(cannot_be, 'a file that cannot be', 'a count of links, of what has no name')
       FROM (SELECT max({BROKEN_IF["inode"]}) AS cannot_be,
                    sum(iif(kind = 4, ino != 1, nlink)) AS names FROM inode)
       WHERE cannot_be OR names != (SELECT count(*) FROM name)""",  # noqa: S608  # ours
    f"""{_DIRECTORIES}, held (ino, count) AS MATERIALIZED (
           SELECT parent, count(*) FROM directory GROUP BY parent)
       SELECT 'a count of links that is not that of a directory'
       FROM inode i LEFT JOIN held h ON h.ino = i.ino
       WHERE i.kind = 4 AND i.nlink != 2 + coalesce(h.count, 0) LIMIT 1""",  # noqa: S608  # ours
    f"""{_DIRECTORIES}, below (ino) AS (
           VALUES (1) UNION SELECT d.ino FROM below JOIN directory d ON d.parent = below.ino)
       SELECT 'a directory that lies in itself'
       WHERE (SELECT count(*) FROM below) != (SELECT count(*) FROM inode WHERE kind = 4)""",  # noqa: S608  # ours
    f"""SELECT iif({BROKEN_IF["name"]}, 'a name that no file can have',
                  'a name in what is no directory')
       FROM name n LEFT JOIN inode i ON i.ino = n.parent
       WHERE i.kind IS NOT 4 OR {BROKEN_IF["name"]} LIMIT 1""",  # noqa: S608  # ours
    f"""SELECT 'an attribute that no file has' FROM xattr x
       WHERE {BROKEN_IF["xattr"]} OR NOT EXISTS (SELECT 1 FROM inode WHERE ino = x.ino) LIMIT 1""",  # noqa: S608  # ours
)

_PAST_A_BLOCK = """SELECT 'an extent without its block, or past its end' FROM extent e LEFT JOIN block b ON b.id = e.block
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
                found = database.row(*waiting.popleft())
                if found is not None:
                    raise ChangesetUnfit(found[0])
        finally:
            waiting.clear()

    with ThreadPoolExecutor(len(databases)) as threads:
        for done in [threads.submit(work, database) for database in databases]:
            done.result()


def _questions(database: Database) -> list[_Question]:
    """Return what is to be asked, what takes longest first."""
    blocks = database.row("SELECT count(*) FROM block") or (0,)
    ranges = ranges_of_ids(min(256, 1 + int(blocks[0]) // _BLOCKS_AT_ONCE))
    return [*((_PAST_A_BLOCK, each) for each in ranges), *((query, ()) for query in _BREACHES)]


def ranges_of_ids(parts: int) -> list[tuple[bytes, bytes]]:
    """Return [least, end) of so many ranges, 256 at most, of about as many ids each: they are hashes."""
    bounds = [b"", *(bytes([256 * part // parts]) for part in range(1, parts)), b"\xff" * 33]
    return list(pairwise(bounds))
