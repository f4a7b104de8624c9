"""Somebody who is not root works with files that another member wrote under another user id.

The commands run for real as `nobody`: in a mount namespace of their own, in which /dev/fuse is as
permissive as distributions have it, and /etc/fuse.conf permits nothing more.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fixture import Ended, Workstation, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

NOBODY = 65534
NAMELESS = 4242

AS_USER = """
# In whatever directory this interpreter lies.
exec setpriv --reuid {user} --regid {user} --clear-groups \\
    --inh-caps +dac_read_search --ambient-caps +dac_read_search -- sh -exuc "$1"
"""

SETTING = """
device=$(mktemp -d)
mknod -m 666 "$device/fuse" c 10 229
mount --bind "$device/fuse" /dev/fuse
rm -r "$device"
mount --bind /dev/null /etc/fuse.conf
# Nobody but root can say anything to the kernel's control of mounts; it can be read here.
mount -t tmpfs none /sys/fs/fuse/connections
mkdir -p "$HOME/control"
mount -t fusectl none "$HOME/control"
"""

DAY = """
unlock="--passphrase-file $HOME/passphrase"
lucidnode join "@$HOME/ticket" --code-file "$HOME/code" $unlock
lucidnode mount demo "$HOME/open" --allow-other $unlock 2>&1 | grep "has the line user_allow_other"
test ! -e "$HOME/open"
lucidnode mount demo "$HOME/drive" $unlock
number=$(mountpoint -d "$HOME/drive")
if lucidnode --version | grep "with the kernel channel"; then
    # Many more than the twelve reads under way that the kernel begins with.
    test "$(cat "$HOME/control/${{number#*:}}/max_background")" -ge 64
fi
cd "$HOME/drive"
test "$(stat -c %u:%g . reel reel/notes | sort -u)" = {user}:{user}
echo mine >>reel/notes
echo mine >reel/new
chmod 600 reel/notes
mv reel/new reel/newer
cp -a reel copy
diff -r reel copy
git init -q repository
git -C repository status
chgrp {user} reel/notes
rm -r copy repository
cd /

# The mount process dies, and is back by itself. Nothing is written below it meanwhile.
trap 'touch "$HOME/enough"' EXIT
while test ! -e "$HOME/enough"; do
    made=$((${{made:-0}} + 1))
    echo a take >"$HOME/drive/take $made" || true
    sleep 0.02
done &
pid=$(lucidnode status --json | sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p')
if cat "/proc/$pid/environ"; then exit 1; fi
kill -9 "$pid"
while test -e "/proc/$pid"; do sleep 0.1; done
ls "$HOME/drive/reel"
touch "$HOME/enough"
wait
cat "$HOME/drive/reel/newer"
lucidnode umount "$HOME/drive"
test -z "$(ls -A "$HOME/drive")"
lucidnode exit
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a directory that ordinary users reach: a run of pytest that begins closes its own to them."""
    with tempfile.TemporaryDirectory(prefix="lucid-user-") as folder:
        yield Path(folder)


def as_user(station: Workstation, user: int, script: str, setting: str = "") -> Ended:
    """Run *script* as *user*, to whom the files of *station* belong now."""
    give(station.folder, user)
    for folder in station.folder.parents:
        if folder.is_relative_to(Path(tempfile.gettempdir())) and folder.owner() == "root":
            folder.chmod(folder.stat().st_mode | 0o005)
    script = script.format(user=user)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", setting + AS_USER.format(user=user), "sh", script],
        capture_output=True,
        check=False,
        text=True,
        env=station.environment,
        cwd="/",
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def give(folder: Path, user: int) -> None:
    """Let *folder* with all that is in it belong to *user*."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


def test_files_of_another_member_are_his_to_work_with(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as first, workstation(tmp_path / "b") as second:
        bucket = tmp_path / "bucket"
        first.unlocked("init", f"file://{bucket}")
        first.unlocked("project", "create", "demo")
        drive = first.folder / "drive"
        first.unlocked("mount", "demo", drive)
        (drive / "reel").mkdir(mode=0o755)
        (drive / "reel" / "notes").write_text("hers\n")
        first.ok("umount", drive)
        ticket, code = first.unlocked("invite", "--unattended", "--for", "Ben").out.splitlines()
        second.secret_file("ticket", ticket)
        second.secret_file("code", code)
        first.ok("exit")
        give(bucket, NOBODY)

        ended = as_user(second, NOBODY, DAY, SETTING)
        assert ended.code == 0, ended.err
        assert ended.out.endswith("mine\n")

        # For root, who may do anything, numbers are what they are.
        first.unlocked("mount", "demo", drive)
        notes, newer = (drive / "reel" / name for name in ("notes", "newer"))
        assert notes.read_text() == "hers\nmine\n"
        assert (notes.stat().st_uid, newer.stat().st_uid) == (0, NOBODY)
        assert notes.stat().st_mode & 0o777 == 0o600
        first.ok("umount", drive)
        first.ok("exit")


def test_a_user_without_a_name_is_called_by_his_number(tmp_path: Path) -> None:
    """As in many a container."""
    with workstation(tmp_path / "a") as station:
        found = 'lucidnode init "file://$HOME/bucket" --passphrase-file "$HOME/passphrase"'
        mounting = """
unlock="--passphrase-file $HOME/passphrase"
lucidnode project create demo $unlock
if lucidnode mount demo "$HOME/drive" $unlock; then exit 1; fi
lucidnode exit
"""
        ended = as_user(station, NAMELESS, found + mounting, SETTING)
        assert ended.code == 0, ended.err
        assert "studio founded" in ended.err
        # Whose tool it is does not let him mount, and says why.
        assert "does not let us mount at" in ended.err
        assert ": fusermount3 says: could not determine username\n" in ended.err


BESIDE = """
exec 3>&1 >&2
unlock="--passphrase-file $HOME/passphrase"
lucidnode init "file://$HOME/bucket" $unlock
lucidnode project create mine $unlock
lucidnode mount mine "$HOME/drive" $unlock
echo mine >"$HOME/drive/notes"
# What is somebody else's: neither the drive, nor his daemon, nor its home.
if ls "{theirs}/drive"; then exit 1; fi
if LUCIDNODE_HOME="{theirs}/home" lucidnode status; then exit 1; fi
if LUCIDNODE_HOME="{theirs}/home" lucidnode exit; then exit 1; fi
lucidnode status --json >&3
lucidnode umount "$HOME/drive"
lucidnode exit
"""


def test_two_users_of_a_machine_have_a_daemon_and_a_drive_each(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as first, workstation(tmp_path / "b") as second:
        first.unlocked("init", f"file://{first.folder}/bucket")
        first.unlocked("project", "create", "demo")
        drive = first.folder / "drive"
        first.unlocked("mount", "demo", drive)
        (drive / "notes").write_text("hers\n")
        # It is no wall of file modes that is tried here: what stands behind them has to hold.
        first.folder.chmod(0o755)
        script = BESIDE.format(theirs=first.folder)
        ended = as_user(second, NOBODY, script, SETTING)
        assert ended.code == 0, ended.err
        shown = json.loads(ended.out)["mounts"], first.status()["mounts"]
        places = [[one["mountpoint"] for one in mounts] for mounts in shown]
        assert places == [[f"{second.folder}/drive"], [str(drive)]]
        assert (drive / "notes").read_text() == "hers\n"
        first.ok("umount", drive)
