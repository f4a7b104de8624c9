"""What the kernel's list of mounts says."""

from __future__ import annotations

import os
from pathlib import Path

from lucidnode.node.client.mountinfo import mounts

MOUNTINFO = rb"""
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
52 29 0:46 / /home/a\040b/Film\134x rw,nosuid,nodev - fuse.lucidnode lucidnode rw,user_id=0
53 29 0:47 / /elsewhere rw shared:7 propagate_from:2 - fuse.sshfs host:/dir rw
""".strip()


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    local, ours, other = mounts(MOUNTINFO)
    assert local.directory == Path("/mnt2")
    assert ours.directory == Path("/home/a b/Film\\x")
    assert (ours.device, ours.is_ours) == ("0:46", True)
    assert not local.is_ours
    assert not other.is_ours


def test_no_name_of_a_directory_hides_a_mount_or_makes_one_up() -> None:
    strange = [b"\r", b"\x0b\x0c", "\u2028\x85".encode(), b"\xff\xfe", rb"\134040", b"a - b"]
    for name in strange:
        line = b"54 29 0:48 / /x%s/y rw - tmpfs tmpfs rw" % name.replace(b" ", rb"\040")
        found = mounts(b"\n".join([b"", line, b"garbage", MOUNTINFO, b""]))
        assert [each.kind for each in found] == ["tmpfs", "ext3", "fuse.lucidnode", "fuse.sshfs"]
        assert os.fsencode(found[0].directory) == b"/x%s/y" % name.replace(rb"\134", b"\\")
