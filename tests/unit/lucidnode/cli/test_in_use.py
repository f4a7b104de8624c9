"""Who still has a copy of what was unmounted, told from who has got its number since."""

from __future__ import annotations

from pathlib import Path

from lucidnode.cli.in_use import copies_of, holders_of

_LINE = "49 27 {device} / {directory} rw,relatime - fuse.lucidnode lucidnode rw\n"


def process(proc: Path, pid: int, *mounted: tuple[str, str], namespace: str | None = None) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comm").write_text(f"program{pid}\n")
    lines = [_LINE.format(device=device, directory=directory) for device, directory in mounted]
    (folder / "mountinfo").write_text("".join(lines))
    if namespace is not None and not (folder / "ns").exists():
        (folder / "ns").mkdir()
        (folder / "ns/mnt").symlink_to(namespace)


def test_a_copy_that_stays_is_named(tmp_path: Path) -> None:
    process(tmp_path, 1, ("0:42", "/home/ann/drive"), namespace="mnt:[1]")
    process(tmp_path, 7, ("0:42", "/data"), namespace="mnt:[2]")
    before = copies_of("0:42", tmp_path)
    process(tmp_path, 1, namespace="mnt:[1]")
    [holder] = holders_of(before, "0:42", tmp_path)
    assert holder.endswith("(process 7)")


def test_another_mount_that_has_got_the_number_is_no_copy(tmp_path: Path) -> None:
    process(tmp_path, 1, ("0:42", "/home/ann/drive"), namespace="mnt:[1]")
    process(tmp_path, 2, ("0:42", "/home/ann/drive"))  # whose namespace is not told
    before = copies_of("0:42", tmp_path)
    for pid, namespace in ((1, "mnt:[1]"), (2, None)):
        process(tmp_path, pid, ("0:42", "/home/bo/drive"), namespace=namespace)
    assert holders_of(before, "0:42", tmp_path) == []
