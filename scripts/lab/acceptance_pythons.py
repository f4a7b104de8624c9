"""The next Debian, with its Python and libfuse: installed from a wheel and used, and the tests run there.

Debian 13 is put into a directory. What runs there has that directory for its root, and a namespace of
mounts of its own, so that nothing stays mounted whatever becomes of it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.places import REPOSITORY

PACKAGES = ("debootstrap",)

_RELEASE = "trixie"
_INSIDE = (
    "python3-venv python3-dev gcc pkg-config libfuse3-dev fuse3 iproute2 nftables git strace procps"
    " dbus-daemon gnome-keyring"
)
_AUTHORITIES = Path("etc/ssl/certs/ca-certificates.crt")

_ENTER = r"""
set -eu
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/netns" "$root/below"
cd "$root"
pivot_root . below
umount -l /below
cd /root
exec env -i HOME=/root LANG=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -euc "$2"
"""

_WHEEL = """
python3 -m venv building
building/bin/pip -q wheel --wheel-dir wheels ./lucidnode
rm -rf building
python3 -m venv programs
programs/bin/pip -q install --no-index --find-links wheels --only-binary :all: lucidnode
programs/bin/pip check
"""

_USE = """
export PATH=/root/programs/bin:$PATH
printf 'correct horse battery\\n' > passphrase
chmod 600 passphrase
lucidnode --version
lucidnode init file:///root/studio --passphrase-file passphrase
lucidnode project create demo --passphrase-file passphrase
lucidnode mount demo drive --passphrase-file passphrase
head -c 5000000 /dev/urandom > film.mov
cp film.mov drive/
lucidnode wait drive/film.mov
lucidnode evict drive/film.mov
cmp film.mov drive/film.mov
mv drive/film.mov drive/renamed.mov
cmp film.mov drive/renamed.mov
lucidnode umount drive
lucidnode exit
"""

_TESTS = """
cd lucidnode
python3 -m venv .venv
.venv/bin/pip -q install --upgrade pip
.venv/bin/pip -q install -e . --group dev
.venv/bin/python -P -m pytest -q -p no:cacheprovider {tests}
"""
_FEW = "tests/unit/durability tests/unit/fs/kernel tests/unit/lucidnode/cli"
_ALL = "tests/unit"
_MOUNTS = "tests/integration/test_mount.py tests/integration/test_locks_between_nodes.py"

_MAKE_S, _TESTS_S = 1800.0, 3600.0


def run_alone(extent: float) -> str:
    """See the module. Less than all of *extent* is some of the unit tests."""
    root = Path(tempfile.mkdtemp(prefix="lucidnode-next-", dir="/var/tmp"))  # removed below
    try:
        root.chmod(0o755)
        _make(root)
        _inside(root, _WHEEL, _MAKE_S)
        said = _inside(root, _USE, _MAKE_S)
        if "with the kernel channel" not in said:
            raise LabError(f"the wheel has no compiled channel: {said}")
        tests = f"{_ALL if extent >= 1 else _FEW} {_MOUNTS}"
        passed = re.findall(
            r"^(\d+ passed)", _inside(root, _TESTS.format(tests=tests), _TESTS_S), re.MULTILINE
        )
        version = _inside(root, "python3 --version", 60).strip()
        return f"{version}: installed from wheels, a drive made and used; {passed[-1]}"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _make(root: Path) -> None:
    run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates", _RELEASE, str(root)],
        within=_MAKE_S,
    )
    for trusted in ("etc/resolv.conf", str(_AUTHORITIES)):
        shutil.copyfile(Path("/", trusted), root / trusted)
    install = "apt-get -qy install --no-install-recommends"
    _inside(
        root,
        f"export DEBIAN_FRONTEND=noninteractive; apt-get -q update; {install} {_INSIDE}",
        _MAKE_S,
    )
    archive = root / "tree.tar"
    run(
        ["git", "-C", str(REPOSITORY), "archive", "--prefix=lucidnode/", "-o", str(archive), "HEAD"]
    )
    _inside(root, "tar -xf /tree.tar && git init -q lucidnode", 60)


def _inside(root: Path, script: str, within: float) -> str:
    """Run *script* with *root* as its root, and return what it prints. Raises CommandFailed."""
    enter = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        _ENTER,
        "sh",
    ]
    return run([*enter, str(root), script], within=within)
