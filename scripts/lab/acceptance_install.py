"""One install for people: wheels, built once, make a workstation of a machine without a compiler."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from lab.command import run
from lab.errors import LabError
from lab.places import REPOSITORY

PACKAGES = ("fuse3",)

_BUILT = (".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", "*.so", "*.o")
"""What a tree that was worked in has and a fresh one has not."""

_OF_DEVELOPERS = ("pytest", "mypy", "ruff", "hypothesis", "coverage", "mkdocs")

_CONTENT = "all that an editor has\n" * 10_000


class _Newcomer:
    """Somebody with a home of his own, and nothing on his PATH but the system and what he installs."""

    def __init__(self, root: Path) -> None:
        self._programs = root / "programs"
        self.home = root / "home"
        self.home.mkdir()
        self.passphrase = self.home / "passphrase"
        self.passphrase.touch(mode=0o600)
        self.passphrase.write_text("correct horse battery\n")
        run([sys.executable, "-m", "venv", str(self._programs)], within=300)

    def run(self, *words: str | Path, within: float = 120.0) -> str:
        """Run one of the installed programs."""
        program = self._programs / "bin" / str(words[0])
        env = {
            "HOME": str(self.home),
            "LUCIDNODE_HOME": str(self.home / "lucidnode"),
            "PATH": f"{self._programs / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
        }
        return run([str(program), *map(str, words[1:])], env=env, within=within)

    def install(self, wheels: Path) -> None:
        """Install from *wheels* alone: nothing is fetched, and nothing compiled."""
        offline = ("--no-index", "--find-links", wheels, "--only-binary", ":all:")
        self.run("pip", "install", "--quiet", *offline, "lucidnode", within=300)

    def unlocked(self, *words: str | Path) -> str:
        """Run a command of ours that needs the passphrase."""
        return self.run("lucidnode", *words, "--passphrase-file", self.passphrase)

    def installed(self) -> set[str]:
        """Return the names at the top level of what was installed."""
        [packages] = self._programs.glob("lib/python3*/site-packages")
        return {path.name for path in packages.iterdir()}


def run_alone(extent: float) -> str:  # nothing is repeated
    """See the module."""
    root = Path(tempfile.mkdtemp(prefix="lucidnode-install-", dir="/var/tmp"))  # removed below
    try:
        wheels = _wheels(root)
        newcomer = _Newcomer(root)
        newcomer.install(wheels)
        _assert_whole(newcomer)
        _use(newcomer)
        [ours] = wheels.glob("lucidnode-*.whl")
        count = len(list(wheels.iterdir()))
        return f"{ours.name} and {count - 1} wheels beside it, installed offline; a drive made and used"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _wheels(root: Path) -> Path:
    """Build the wheel from a copy of the tree as a fresh clone has it, and get all that it needs."""
    tree, out = root / "tree", root / "wheels"
    shutil.copytree(REPOSITORY, tree, symlinks=True, ignore=shutil.ignore_patterns(*_BUILT))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir"]
    run([*pip, str(out), str(tree)], within=600)
    return out


def _assert_whole(newcomer: _Newcomer) -> None:
    version = newcomer.run("lucidnode", "--version")
    if "with the kernel channel" not in version:
        raise LabError(f"the wheel has no compiled channel: {version.strip()}")
    newcomer.run("pip", "check")
    installed = newcomer.installed()
    if found := installed & {"fs", "node", "discovery", "tests", "scripts", *_OF_DEVELOPERS}:
        raise LabError(f"an editor's machine gets what it should not: {sorted(found)}")
    pages = newcomer.home / "man1"
    newcomer.run("lucidnode", "manual", pages)
    if not (pages / "lucidnode-mount.1").exists():
        raise LabError("there is no man page for mount")
    for shell in ("bash", "zsh", "fish"):
        if "lucidnode" not in newcomer.run("lucidnode", "completion", shell):
            raise LabError(f"nothing completes commands in {shell}")


def _use(newcomer: _Newcomer) -> None:
    """Follow the quick start, and leave nothing that runs or is mounted."""
    drive, file = newcomer.home / "drive", newcomer.home / "drive" / "film.mov"
    with contextlib.ExitStack() as leaving:
        newcomer.unlocked("init", f"file://{newcomer.home}/studio")
        leaving.callback(newcomer.run, "lucidnode", "exit")
        newcomer.unlocked("project", "create", "demo")
        newcomer.unlocked("mount", "demo", drive)
        leaving.callback(newcomer.run, "lucidnode", "umount", drive)
        file.write_text(_CONTENT)
        newcomer.run("lucidnode", "wait", file)
        newcomer.run("lucidnode", "evict", file)
        newcomer.run("lucidnode", "warm", file)
        if file.read_text() != _CONTENT:
            raise LabError("the file is not what was written")
        if "without the compiled kernel channel" in newcomer.run("lucidnode", "status"):
            raise LabError("the drive runs without the compiled channel")
