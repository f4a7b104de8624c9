"""An editor at one workstation who adds clips to bins or to a project: `python -m lab.editor PROGRAM FOLDER WHO SESSIONS`.

Says at the end, as JSON, how many saves he made, how often he was refused, and how often he saw by whom.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

CLIPS = 3
BINS = ("Reel 1", "Reel 2")
_PAUSES_S = (0.02, 0.1, 0.3)


class Editor:
    """One person; *who* he is goes into the locks that he makes."""

    def __init__(self, folder: Path, who: str) -> None:
        self.folder = folder
        self.who = who
        self.did: Counter[str] = Counter()
        self.clips = 0
        self.random = Random(who)  # noqa: S311
        self._pause = threading.Event()

    def rest(self) -> None:
        """Wait a moment."""
        self._pause.wait(self.random.choice(_PAUSES_S))

    def add_clip(self, clips: list[str]) -> None:
        """Add the next clip."""
        clips.append(f"{self.who} {self.clips:04}")
        self.clips += 1

    def lock(self, path: Path) -> bool:
        """Make the lock file *path*, or see whose it is and return False."""
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            self.did["refused"] += 1
            with contextlib.suppress(FileNotFoundError):
                whose = path.read_text()
                # A name comes before its content by a moment; it is never ours.
                assert whose != self.who, f"{path.name} is mine, and I have not made it"
                self.did["saw who"] += bool(whose)
            return False
        with os.fdopen(file, "w") as made:
            made.write(self.who)
        return True

    def opened(self, project: Path) -> int | None:
        """Open *project* for writing; if another workstation has it, see who and return None."""
        try:
            return os.open(project, os.O_RDWR)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EBUSY}:
                raise
        self.did["refused"] += 1
        with contextlib.suppress(OSError):
            whose = os.getxattr(project, "user.lucid.lock.device").decode()
            self.did["saw who"] += bool(whose)
        return None

    def bin_session(self) -> None:
        """Open a bin as Avid does, add clips, save by a new file, close."""
        name = self.random.choice(BINS)
        lock, shown = self.folder / f"{name}.lck", self.folder / f"{name}.avb"
        while not self.lock(lock):
            json.loads(shown.read_text())  # it is shown, whole, and cannot be changed
            self.rest()
        clips = json.loads(shown.read_text())
        for _ in range(CLIPS):
            self.add_clip(clips)
            scratch = self.folder / f"{name}.{self.who}.new"
            scratch.write_text(json.dumps(clips))
            scratch.replace(shown)
            self.did["saves"] += 1
            self.rest()
        lock.unlink()

    def project_session(self) -> None:
        """Open a project as Premiere does, add clips, save in place, autosave, close."""
        project = self.folder / "film.prproj"
        lock = self.folder / "film.prlock"
        while not self.lock(lock):
            self.rest()
        while (file := self.opened(project)) is None:
            self.rest()
        with os.fdopen(file, "r+b") as opened:
            clips = json.loads(opened.read())
            for _ in range(CLIPS):
                self.add_clip(clips)
                opened.seek(0)
                opened.truncate()
                opened.write(json.dumps(clips).encode())
                opened.flush()
                os.fsync(opened.fileno())
                self.did["saves"] += 1
                self.rest()
        saved = self.folder / "Adobe Premiere Pro Auto-Save"
        saved.mkdir(exist_ok=True)
        (saved / f"film-{self.who}-{self.clips}.prproj").write_text(json.dumps(clips))
        lock.unlink()


def main() -> None:
    """Work through all sessions."""
    program, folder, who, sessions = sys.argv[1:]
    editor = Editor(Path(folder), who)
    for _ in range(int(sessions)):
        (editor.bin_session if program == "avid" else editor.project_session)()
        editor.rest()
    print(json.dumps(editor.did))


if __name__ == "__main__":
    main()
