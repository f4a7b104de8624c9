"""What is shown of snapshots has numbers of its own, for as long as the kernel knows them."""

from __future__ import annotations

from lucidnode.fs.replica.inode import MAX_INO, ROOT, InodeNo
from lucidnode.fs.snapshot_tree.snapshot_numbers import SNAPSHOTS, PastFile, SnapshotNumbers
from lucidnode.node.client.ids import Seq

FILE = PastFile(Seq(7), InodeNo(1 << 40), b"cut")


def test_a_file_has_one_number_in_each_snapshot_and_none_that_a_file_of_now_can_have() -> None:
    numbers = SnapshotNumbers()
    found = {
        numbers.number(PastFile(Seq(seq), ino, name))
        for seq in range(20)
        for ino in (ROOT, FILE.ino)
        for name in (b"cut", b"the same cut")
    }
    assert len(found) == 80
    assert all(MAX_INO < SNAPSHOTS < number < 2**63 for number in found)


def test_a_number_is_the_same_after_a_restart() -> None:
    assert SnapshotNumbers().number(FILE) == SnapshotNumbers().number(FILE)
    twin = FILE._replace(snapshot=b"the same cut")
    assert SnapshotNumbers().number(FILE) != SnapshotNumbers().number(twin)


def test_two_files_that_would_have_one_number_have_two() -> None:
    numbers = SnapshotNumbers()
    number = numbers.number(FILE)
    other = SnapshotNumbers()
    other._shown[number] = PastFile(Seq(8), ROOT, b"other")  # by chance once in 2**62
    assert other.number(FILE) == number + 1
    assert other.file(InodeNo(number + 1)) == FILE


def test_what_the_kernel_counts_is_known_until_it_forgets_however_much_was_shown_since() -> None:
    numbers = SnapshotNumbers()
    number = numbers.number(FILE)
    numbers.count_lookup(number)
    assert numbers.number(FILE) == number
    numbers.count_lookup(number)
    for ino in range(10_000):
        numbers.number(PastFile(Seq(9), InodeNo(ino + 2), b"later"))
    assert numbers.file(number) == FILE
    numbers.forget_lookups(number, 1)
    assert numbers.file(number) == FILE
    numbers.forget_lookups(number, 1)
    assert numbers.file(number) is None
