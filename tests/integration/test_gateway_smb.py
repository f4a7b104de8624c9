"""A mount shared by Debian's Samba, as `lucidnode gateway smb` configures it, beside a second workstation."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from daemon_fixture import eventually, workstations
from lab.free_ports import free_ports
from smbprotocol.connection import Connection
from smbprotocol.exceptions import SMBResponseException
from smbprotocol.header import NtStatus
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    FileAttributes,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    LockFlags,
    Open,
    ShareAccess,
    SMB2LockElement,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from lucidnode.smb_gateway import SmbShare, smb_configuration

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(180)]

USER = "games"
"""Of every Debian system, and nobody's."""
WORDS = "correct horse"


@dataclass(frozen=True)
class Gateway:
    """*here* is the mount that is shared, *there* that of another workstation."""

    here: Path
    there: Path
    port: int
    folder: Path

    def smbclient(self, *commands: str, words: str = WORDS) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("smbclient", "//127.0.0.1/film", "-p", str(self.port), "-m", "SMB3"),
                *("-U", f"{USER}%{words}", "-c", ";".join(commands)),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            timeout=60,
        )

    def ok(self, *commands: str) -> str:
        done = self.smbclient(*commands)
        assert done.returncode == 0, done
        assert "NT_STATUS" not in done.stdout, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("smb")
    with workstations(tmp_path_factory.mktemp("pair"), 2) as [one, other]:
        one.mount()
        other.mount(consistency="strict")
        [port] = free_ports(1)
        state = folder / "state"
        for name in ("private", "lock", "state", "cache", "run", "ncalrpc"):
            (state / name).mkdir(parents=True)
        share = SmbShare("film", one.mountpoint, [USER], "root", state, port)
        config = folder / "smb.conf"
        config.write_text(smb_configuration(share))
        checked = subprocess.run(
            ["testparm", "-s", config], capture_output=True, text=True, check=True
        )
        for complaint in ("nknown parameter", "WARNING", "found in service section", "gnoring"):
            assert complaint not in checked.stderr
        subprocess.run(
            ["smbpasswd", "-c", config, "-s", "-a", USER],
            input=f"{WORDS}\n{WORDS}\n",
            text=True,
            capture_output=True,
            check=True,
        )
        server = subprocess.Popen(
            ["smbd", "--foreground", "--no-process-group", f"--configfile={config}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it ends its whole process group
        )
        try:
            here = Gateway(one.mountpoint, other.mountpoint, port, folder)
            eventually(lambda: here.smbclient("ls").returncode == 0, 30)
            yield here
        finally:
            server.terminate()
            server.wait(20)


@pytest.fixture
def tree(gateway: Gateway) -> Iterator[TreeConnect]:
    connection = Connection(uuid.uuid4(), "127.0.0.1", gateway.port)
    connection.connect()
    try:
        session = Session(connection, USER, WORDS, require_encryption=True)
        session.connect()
        share = TreeConnect(session, r"\\127.0.0.1\film")
        share.connect()
        yield share
    finally:
        connection.disconnect()


def _has(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() == content


def _attributes(path: Path) -> list[str]:
    return os.listxattr(path) if path.exists() else []


def _tags(path: Path) -> list[bytes]:
    found = [name for name in _attributes(path) if name.lower() == "user.tag"]
    return [os.getxattr(path, name)[:3] for name in found]


def opened(tree: TreeConnect, name: str) -> Open:
    file = Open(tree, name)
    file.create(
        ImpersonationLevel.Impersonation,
        FilePipePrinterAccessMask.GENERIC_READ | FilePipePrinterAccessMask.GENERIC_WRITE,
        FileAttributes.FILE_ATTRIBUTE_NORMAL,
        ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE,
        CreateDisposition.FILE_OPEN_IF,
        CreateOptions.FILE_NON_DIRECTORY_FILE,
    )
    return file


def lock(file: Open, flags: int) -> int:
    """Ask for a lock of the first ten bytes, without waiting; return the status."""
    element = SMB2LockElement()
    element["offset"], element["length"], element["flags"] = 0, 10, flags
    try:
        file.lock([element])
    except SMBResponseException as error:
        return int(error.status)
    return int(NtStatus.STATUS_SUCCESS)


NOT_GRANTED = 0xC0000055
EXCLUSIVE = LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK | LockFlags.SMB2_LOCKFLAG_FAIL_IMMEDIATELY


def test_files_go_both_ways_under_the_names_that_people_give_them(gateway: Gateway) -> None:
    (gateway.folder / "clip").write_bytes(os.urandom(3 << 20))
    names = ["Ümläut & Co.mov", unicodedata.normalize("NFC", "Café 漢字 🎬.mov"), "a" * 200]
    for name in names:
        gateway.ok(f'put clip "{name}"')
        eventually(partial(_has, gateway.there / name, (gateway.folder / "clip").read_bytes()))
    (gateway.there / "from there").write_bytes(b"written on the other workstation")
    eventually(partial(_has, gateway.here / "from there", b"written on the other workstation"))
    gateway.ok('get "from there" back')
    assert (gateway.folder / "back").read_bytes() == b"written on the other workstation"
    gateway.ok('rename "from there" "renamed"', "mkdir reels", f'rename "{names[0]}" "reels/1.mov"')
    eventually((gateway.there / "reels" / "1.mov").exists)
    gateway.ok('del "renamed"')
    eventually(lambda: not (gateway.there / "renamed").exists())


def test_what_another_workstation_changes_is_what_the_next_read_sees(
    gateway: Gateway, tree: TreeConnect
) -> None:
    (gateway.there / "notes").write_bytes(b"first....")
    eventually(partial(_has, gateway.here / "notes", b"first...."))
    file = opened(tree, "notes")
    assert file.read(0, 9) == b"first...."
    (gateway.there / "notes").write_bytes(b"second...")
    eventually(partial(_has, gateway.here / "notes", b"second..."))
    assert file.read(0, 9) == b"second..."
    file.write(b"third....", 0)
    file.flush()
    file.close()
    eventually(partial(_has, gateway.there / "notes", b"third...."))


def test_what_macos_and_windows_keep_beside_a_file_is_kept(gateway: Gateway) -> None:
    resources = os.urandom(20_000)
    (gateway.folder / "fork").write_bytes(resources)
    (gateway.folder / "cut").write_bytes(b"cut")
    gateway.ok("put cut cut", 'put fork "cut:AFP_Resource"', "setea cut tag red", "setmode cut +h")
    told = gateway.ok("allinfo cut")
    assert "AFP_Resource" in told
    eventually(lambda: any("AFP_Resource" in name for name in _attributes(gateway.there / "cut")))
    eventually(lambda: _tags(gateway.there / "cut") == [b"red"])
    (gateway.there / "cut").rename(gateway.there / "final")
    eventually((gateway.here / "final").exists)
    gateway.ok('get "final:AFP_Resource" again')
    assert (gateway.folder / "again").read_bytes() == resources
    assert "H" in gateway.ok("allinfo final").partition("attributes:")[2].splitlines()[0]


def test_locks_hold_between_macos_or_windows_here_and_a_program_elsewhere(
    gateway: Gateway, tree: TreeConnect
) -> None:
    (gateway.there / "cut.prproj").write_bytes(b"0123456789")
    eventually(partial(_has, gateway.here / "cut.prproj", b"0123456789"))
    file = opened(tree, "cut.prproj")
    assert lock(file, EXCLUSIVE) == NtStatus.STATUS_SUCCESS
    with (gateway.there / "cut.prproj").open("r+b") as other:
        with pytest.raises(OSError, match="Resource temporarily unavailable") as refused:
            fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert refused.value.errno in {errno.EAGAIN, errno.EACCES}
        assert lock(file, LockFlags.SMB2_LOCKFLAG_UNLOCK) == NtStatus.STATUS_SUCCESS
        fcntl.lockf(other, fcntl.LOCK_EX)
        assert lock(file, EXCLUSIVE) == NOT_GRANTED
        fcntl.lockf(other, fcntl.LOCK_UN)
        eventually(lambda: lock(file, EXCLUSIVE) == NtStatus.STATUS_SUCCESS)
    file.close()


def test_nobody_gets_in_without_the_words_or_without_encryption(gateway: Gateway) -> None:
    assert "LOGON_FAILURE" in gateway.smbclient("ls", words="wrong").stdout
    done = subprocess.run(
        [
            *("smbclient", "//127.0.0.1/film", "-p", str(gateway.port), "-m", "SMB2_10"),
            *("-U", f"{USER}%{WORDS}", "-c", "ls"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    connection = Connection(uuid.uuid4(), "127.0.0.1", gateway.port, require_signing=False)
    connection.connect()
    try:
        session = Session(connection, USER, WORDS, require_encryption=False)
        session.connect()
        assert session.encrypt_data  # the server has said so
    finally:
        connection.disconnect()
