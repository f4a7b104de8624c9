"""The file systems of `scripts/bench compare`: each over one S3 server on loopback, set up as its own guide says.

Every one has its blocks encrypted where it can do that, and a cache on the same disk.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from lab.command import run
from lab.errors import CommandFailed
from lab.lab import Lab
from lab.mounts import mounted_below, unmount_below
from lab.patience import until
from lab.process import Process
from lab.record import S3
from lab.workstation import environment

_STOP_S = 60.0
"""Seconds in which a file system puts things in order when it is unmounted."""

_READY_S = 60.0
_BUCKET_S = 600.0


class FileSystem(ABC):
    """One of those that are compared. Files are below `root`, once it is started."""

    name: str
    about: str
    """What one has to know to compare it."""
    root: Path

    def prepare(self) -> None:  # noqa: B027  # most have nothing to make
        """Make its volume, once. Raises LabError; what is begun then ends with `close`."""

    @abstractmethod
    def start(self) -> None:
        """Mount it, ready for files. Raises LabError."""

    @abstractmethod
    def stop(self) -> None:
        """Unmount it, in order."""

    @abstractmethod
    def empty_cache(self) -> None:
        """Forget all blocks, while it is mounted or not as it needs."""

    def remount(self, *, empty: bool) -> None:
        """Begin anew, with the cache on disk as it is, or *empty*; the kernel has no pages of it."""
        self.stop()
        if empty:
            self.empty_cache()
        self.start()
        drop_pages()

    def close(self) -> None:  # noqa: B027  # what a lab knows ends with the lab
        """End all of it that runs still, however far it came."""

    def await_bucket(self, files: Sequence[Path]) -> None:  # noqa: B027  # where `close` waits for it
        """Return once all of *files* are in the bucket."""


def drop_pages() -> None:
    """Have the kernel write what it holds, and forget all pages, names and attributes."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


class PlainDisk(FileSystem):
    """The directory below all of them."""

    name = "disk"
    about = "the plain directory below; not encrypted, in no bucket"

    def __init__(self, folder: Path) -> None:
        self.root = folder

    def start(self) -> None:
        self.root.mkdir(exist_ok=True)

    def stop(self) -> None:
        """Nothing runs."""

    def empty_cache(self) -> None:
        """Do nothing: it has none."""


class Lucidnode(FileSystem):
    """One workstation of a lab, without peers."""

    name = "lucidnode"
    about = (
        "encrypted, names too; `close` waits for the local disk (durability as it is by default)"
    )

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        (self._station,) = lab.workstations.values()
        self.root = self._station.mount_point
        self._empty = False

    def start(self) -> None:
        self._lab.start(self._station)
        if self._empty:  # its command asks the daemon
            run(["lucidnode", "cache", "clear"], env=self._station.environment())
            self._empty = False

    def stop(self) -> None:
        self._station.stop()

    def empty_cache(self) -> None:
        self._empty = True

    def await_bucket(self, files: Sequence[Path]) -> None:
        self._station.await_cloud(files)


class _Mounted(FileSystem):
    """What runs in the foreground and mounts at `root`."""

    def __init__(self, lab: Lab, store: S3) -> None:
        self._lab = lab
        self._store = store
        self._folder = lab.places.root / self.name
        self._folder.mkdir(exist_ok=True)
        self.root = self._folder / "mount"
        self.root.mkdir(exist_ok=True)
        self._cache = self._folder / "cache"
        self._bucket = f"compare-{self.name}"
        self._process: Process | None = None

    def start(self) -> None:
        self._cache.mkdir(exist_ok=True)
        self._process = self._run(self._command())
        until(self._is_ready, within=_READY_S, what=f"{self.name} did not mount")

    def stop(self) -> None:
        if self._process is not None:
            run(["umount", str(self.root)], within=_STOP_S)
            self._process.end(_STOP_S)
            self._process = None

    def close(self) -> None:
        if self._process is not None:
            self._process.end(_STOP_S)

    def empty_cache(self) -> None:
        shutil.rmtree(self._cache)

    def _run(self, command: Sequence[str]) -> Process:
        log = self._lab.places.log(self.name)
        return Process.start(command, log=log, env=self._environment())

    def _environment(self) -> dict[str, str]:
        return environment(self._lab.places) | {"HOME": str(self._folder)}

    def _is_ready(self) -> bool:
        if self._process is not None and not self._process.alive():
            raise CommandFailed(f"{self.name} ended; see {self._lab.places.log(self.name)}")
        return bool(mounted_below(self.root))

    def _secret(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    @abstractmethod
    def _command(self) -> list[str]:
        """Return what mounts it and stays."""


class JuiceFs(_Mounted):
    """With Redis for its metadata, as its guide begins."""

    name = "juicefs"
    about = "blocks encrypted (RSA and AES-256-GCM), names not; Redis with an append-only file; `close` waits for the bucket"

    _redis: Process | None = None

    def prepare(self) -> None:
        socket = self._folder / "redis.sock"
        redis = ["redis-server", "--port", "0", "--unixsocket", str(socket)]
        redis += ["--dir", str(self._folder), "--appendonly", "yes"]
        # Its title would write over the mark by which a lab knows its processes, also after a crash.
        redis += ["--set-proc-title", "no"]
        self._redis = self._run(redis)
        until(socket.exists, within=_READY_S, what="Redis did not start")
        key = self._folder / "key.pem"
        run(["openssl", "genrsa", "-out", str(key), "2048"])
        self._meta = f"unix://{socket}"
        made = [
            "juicefs",
            "format",
            "--storage=s3",
            f"--bucket={self._store.endpoint}/{self._bucket}",
        ]
        made += [f"--encrypt-rsa-key={key}", "--trash-days=0", self._meta, "compare"]
        run(made, env=self._environment())

    def close(self) -> None:
        super().close()
        if self._redis is not None:
            self._redis.end(_STOP_S)

    def _environment(self) -> dict[str, str]:
        keys = {"ACCESS_KEY": self._store.access_key, "SECRET_KEY": self._store.secret_key}
        return super()._environment() | keys | {"JFS_RSA_PASSPHRASE": ""}

    def _command(self) -> list[str]:
        options = [f"--cache-dir={self._cache}", "--no-usage-report", "--no-syslog"]
        return ["juicefs", "mount", *options, self._meta, str(self.root)]


class Rclone(_Mounted):
    """Its crypt over its S3, with all of its cache."""

    name = "rclone"
    about = "crypt, names too; --vfs-cache-mode full; `close` waits for the local page cache, and the cache is not encrypted"

    def prepare(self) -> None:
        obscured = run(
            ["rclone", "obscure", secrets.token_hex(16)], env=self._environment()
        ).strip()
        self._config = self._secret(
            "rclone.conf",
            f"[store]\ntype = s3\nprovider = Other\nendpoint = {self._store.endpoint}\n"
            f"access_key_id = {self._store.access_key}\nsecret_access_key = {self._store.secret_key}\n"
            f"[sealed]\ntype = crypt\nremote = store:{self._bucket}\npassword = {obscured}\n",
        )
        made = ["rclone", "--config", str(self._config), "mkdir", f"store:{self._bucket}"]
        run(made, env=self._environment())

    def _command(self) -> list[str]:
        options = ["--vfs-cache-mode=full", f"--cache-dir={self._cache}", "--vfs-write-back=0s"]
        return [
            "rclone",
            "--config",
            str(self._config),
            "mount",
            *options,
            "sealed:",
            str(self.root),
        ]

    def await_bucket(self, files: Sequence[Path]) -> None:
        names = {str(path.relative_to(self.root)) for path in files}
        until(partial(self._has, names), within=_BUCKET_S, what="rclone did not upload everything")

    def _has(self, names: set[str]) -> bool:
        # Not what it says of its queue: that is empty also before a file comes into it.
        asked = ["rclone", "--config", str(self._config), "lsf", "-R", "--files-only", "sealed:"]
        return names <= set(run(asked, env=self._environment()).splitlines())


class S3fs(_Mounted):
    """With a cache on disk."""

    name = "s3fs"
    about = "not encrypted; use_cache; `close` waits for the bucket"

    def prepare(self) -> None:
        keys = self._secret("passwd", f"{self._store.access_key}:{self._store.secret_key}\n")
        options = [f"passwd_file={keys}", f"url={self._store.endpoint}", "use_path_request_style"]
        self._options = ",".join([*options, f"use_cache={self._cache}"])
        make_bucket = ["rclone", "mkdir", f":s3:{self._bucket}"]
        run(make_bucket, env=self._environment())

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "RCLONE_S3_PROVIDER": "Other",
            "RCLONE_S3_ENDPOINT": self._store.endpoint,
            "RCLONE_S3_ACCESS_KEY_ID": self._store.access_key,
            "RCLONE_S3_SECRET_ACCESS_KEY": self._store.secret_key,
        }

    def _command(self) -> list[str]:
        return ["s3fs", self._bucket, str(self.root), "-f", "-o", self._options]


PACKAGES = ("redis-server", "s3fs", "openssl")
"""Debian's, for those that are not on PyPI."""


@contextlib.contextmanager
def prepared(systems: Sequence[FileSystem], folder: Path) -> Iterator[None]:
    """Have all of *systems* ready to be started, with what they mount below *folder*; end all of them in any case."""
    with contextlib.ExitStack() as begun:
        for system in systems:
            begun.callback(system.close)
            system.prepare()
        begun.callback(_unmount_all, folder)
        yield


def _unmount_all(folder: Path) -> None:
    """Detach whatever a measurement that broke has left."""
    with contextlib.suppress(CommandFailed):
        unmount_below(folder)
