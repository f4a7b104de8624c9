"""The tables of a replica, version 2, and what every sentinel in them means.

The replicated tables are the project: equal on every node that stands on the same journal entry,
row for row. Their columns are part of format 1 (docs/design/0001-metadata.md): an entry is an
SQLite changeset over them. What it may change is for tree/row_rules.py and tree/tree_rules.py to say; STRICT
and CHECK are a second net. The local tables are this node's own and never leave it.
"""

from __future__ import annotations

from lucidnode.fs.replica.intents import LOCKS_LEASE, MARK, NAMES_LEASE, WRITE_LEASE

REPLICATED: dict[str, tuple[type[int | bytes], ...]] = {
    "inode": (*(int for _ in range(11)), bytes, int),
    "name": (int, bytes, int),
    "extent": (int, int, int, bytes, int),
    "block": (bytes, int, bytes, int),
    "xattr": (int, bytes, bytes),
}
"""The replicated tables and the types of their columns."""

IS_MARK = f"name = x'{MARK.hex()}'"
"""How the marks of files on their way are found among the attributes, by an index of their own."""

IS_LEASE = f"name = x'{LOCKS_LEASE.hex()}'"
IS_WRITE_LEASE = f"name = x'{WRITE_LEASE.hex()}'"
"""How leases are found among the attributes, by an index of their own for each kind."""

IS_WANTED_DIRECTORY = f"name = x'{NAMES_LEASE.hex()}' AND instr(value, x'a677616e746564d920') > 0"
"""How the few directories are found, among all that have a lease, that another node asks for: those in
whose row `wanted` is a string of 32 bytes (docs/format.md, "Leases")."""

VERSION = 2

EARLIER = {
    1: """
ALTER TABLE head RENAME COLUMN hash TO link;
ALTER TABLE head DROP COLUMN seen;
"""
}
"""How a replica of each earlier version becomes one of this. In 1, of the first weeks of 0.1, the next entry
was made on the hash of the newest, whether that had counted or not."""

SCHEMA = """
CREATE TABLE inode (
    ino      INTEGER PRIMARY KEY CHECK (ino > 0),
    kind     INTEGER NOT NULL CHECK (kind IN (1, 2, 4, 6, 8, 10, 12)),  -- inode.Kind
    mode     INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 4095),          -- permission bits only
    uid      INTEGER NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
    gid      INTEGER NOT NULL CHECK (gid BETWEEN 0 AND 4294967295),
    size     INTEGER NOT NULL CHECK (size >= 0),    -- plain bytes; 0 for directories
    nlink    INTEGER NOT NULL CHECK (nlink >= 0),   -- 0: unlinked, but open on some node
    atime_ns INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    rdev     INTEGER NOT NULL CHECK (rdev >= 0),
    target   BLOB    NOT NULL,                      -- of a symbolic link, else empty
    version  INTEGER NOT NULL   -- another content has another version; below 0: more of it follows
) STRICT;

CREATE TABLE name (
    parent INTEGER NOT NULL,
    name   BLOB    NOT NULL CHECK (
        length(name) BETWEEN 1 AND 255
        AND instr(name, x'2f') = 0 AND instr(name, x'00') = 0
        AND name NOT IN (x'2e', x'2e2e')
    ),
    ino    INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_ino ON name (ino);

-- Extents of one file never overlap; bytes that no extent covers are zeros.
CREATE TABLE extent (
    ino          INTEGER NOT NULL,
    offset       INTEGER NOT NULL CHECK (offset >= 0),
    length       INTEGER NOT NULL CHECK (length > 0),
    block        BLOB    NOT NULL,
    block_offset INTEGER NOT NULL CHECK (block_offset >= 0),
    PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;

-- A row here means: this block is in the bucket, or must be before the entry that adds the row.
CREATE TABLE block (
    id    BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    nonce BLOB    NOT NULL CHECK (length(nonce) = 32),
    size  INTEGER NOT NULL CHECK (size > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE xattr (
    ino   INTEGER NOT NULL,
    name  BLOB    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    value BLOB    NOT NULL CHECK (length(value) <= 65536),
    PRIMARY KEY (ino, name)
) STRICT, WITHOUT ROWID;

INSERT INTO inode VALUES (1, 4, 511, 0, 0, 0, 2, 0, 0, 0, 0, x'', 0);

-- What is not in the journal yet, oldest first: intents.Recorded and rows.encode of its changes.
CREATE TABLE pending (id INTEGER PRIMARY KEY, intent BLOB NOT NULL, changes BLOB NOT NULL) STRICT;

-- At most one row (one = 1): the entry that may exist in the bucket already. *needs* are block ids
-- end to end; *last* is the last pending row it carries.
CREATE TABLE inflight (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    seq      INTEGER NOT NULL,
    unsigned BLOB    NOT NULL,
    needs    BLOB    NOT NULL,
    last     INTEGER NOT NULL
) STRICT;

-- Exactly one row. (0, zeros): no entry yet. *link* is the `previous` of the next entry: the hash of
-- entry *seq*, or what stands for it where it counted as empty.
CREATE TABLE head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    link BLOB    NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, zeroblob(32));

-- Acknowledged bytes without a block. While *pack* is null they lie over the file's extents, and
-- never over each other. With a pack they are in its block, which is not safely staged yet.
-- Without one, *pack_offset* is 1 for bytes that belong at the end of the file, wherever that is
-- when they are committed, and 0 for others; with one, it is their place in the block.
CREATE TABLE tail (
    row         INTEGER PRIMARY KEY,
    ino         INTEGER NOT NULL,
    offset      INTEGER NOT NULL,
    data        BLOB    NOT NULL,
    pack        BLOB,
    pack_offset INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX tail_ino ON tail (ino) WHERE pack IS NULL;

-- Files without a name that this node keeps because they are, or were at a crash, open here.
CREATE TABLE orphan (ino INTEGER PRIMARY KEY) STRICT;
"""

ADDED = f"""
CREATE INDEX IF NOT EXISTS mark ON xattr (ino) WHERE {IS_MARK};
CREATE INDEX IF NOT EXISTS lease ON xattr (ino) WHERE {IS_LEASE};
CREATE INDEX IF NOT EXISTS write_lease ON xattr (ino) WHERE {IS_WRITE_LEASE};
CREATE INDEX IF NOT EXISTS wanted_directory ON xattr (ino) WHERE {IS_WANTED_DIRECTORY};

-- Exactly one row: the epoch of the newest entry up to `head` that counted. What an entry behind it
-- was made in an older one counts as empty.
CREATE TABLE IF NOT EXISTS newest_epoch (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO newest_epoch VALUES (1, 1);

-- While work is recorded whose blocks no fsync has reached: each transaction since, oldest first.
-- *blocks* are those that it names, end to end; *before* is how it is undone (unsynced.py); *boot*
-- is the boot of the machine: until the next one, nothing can be lost.
CREATE TABLE IF NOT EXISTS unsynced (
    id     INTEGER PRIMARY KEY,
    blocks BLOB NOT NULL,
    before BLOB NOT NULL,
    boot   TEXT NOT NULL
) STRICT;

-- What files were before a content of ours that takes several entries, while the first of them may
-- be committed and the last is not: size, mtime, the extents that have changed since, and where some
-- began that did not. Not *existed*: it is a new file.
CREATE TABLE IF NOT EXISTS replaced (
    ino      INTEGER PRIMARY KEY,
    existed  INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS replaced_extent (
    ino          INTEGER NOT NULL,
    offset       INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    block        BLOB    NOT NULL,
    block_offset INTEGER NOT NULL,
    PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replaced_since (
    ino    INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;

-- Blocks of contents that were given up before they were uploaded, since their files are gone. A
-- staged file of one may be deleted unless something else needs it.
CREATE TABLE IF NOT EXISTS unneeded (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

-- What is shown of files whose *version* is below zero, for more of their content follows: the size,
-- version and mtime that they had before, the extents that have changed since, and where some began
-- that did not.
CREATE TABLE IF NOT EXISTS earlier (
    ino      INTEGER PRIMARY KEY,
    size     INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS earlier_extent (
    ino          INTEGER NOT NULL,
    offset       INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    block        BLOB    NOT NULL,
    block_offset INTEGER NOT NULL,
    PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS earlier_since (
    ino    INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (ino, offset)
) STRICT, WITHOUT ROWID;

-- At most one row (one = 1): the newest checkpoint that is known here to be true, and MessagePack of
-- what its manifest says (checkpoint.CheckpointContents).
CREATE TABLE IF NOT EXISTS checkpoint (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    seq      INTEGER NOT NULL,
    contents BLOB    NOT NULL
) STRICT;

-- What this workstation keeps in its cache: *name* in *parent*, and the inode that was last (pin_table.py).
CREATE TABLE IF NOT EXISTS pin (
    parent INTEGER NOT NULL,
    name   BLOB    NOT NULL,
    ino    INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) STRICT, WITHOUT ROWID;
"""  # noqa: S608  # ours
"""What a replica of this version may lack, since it was made by an earlier release."""
