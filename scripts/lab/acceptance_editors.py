"""Two editors in one project, as Avid Media Composer and Premiere Pro keep each other out of a bin or a project.

Avid: who opens a bin makes a `.lck` beside it that says who he is; a bin that has one is only read. Saves
are a new file that is put in the place of the old one. Premiere: `.prlock` beside the project, saves are in
place, autosaves are files of their own. Each editor adds clips, in sessions: in the end every clip is there
once, in the order of its editor, whoever had the bin in between, and whoever was refused was told by whom.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from lab.errors import LabError
from lab.process import ending
from lab.two_nodes import TwoNodes

PACKAGES = ()

_FOLDER = "editors"
_BINS = ("Reel 1", "Reel 2")
_SESSIONS = 20
"""Of each editor, in each kind of program."""

_CLIPS = 3
"""What is added in one session, a save each."""

_PATIENCE_S = 600


def run_trial(nodes: TwoNodes, extent: float) -> str:
    """See the module."""
    sessions = max(4, round(_SESSIONS * extent))
    folders = [top / _FOLDER for top in (nodes.here, nodes.there)]
    folders[0].mkdir()
    for name in _BINS:
        (folders[0] / f"{name}.avb").write_text("[]")
    (folders[0] / "film.prproj").write_text("[]")
    nodes.await_same(_FOLDER)
    told: Counter[str] = Counter()
    for program in ("avid", "premiere"):
        for said in _at_once(program, folders, sessions):
            told.update(said)
    nodes.settle()
    for folder in folders:
        _assert_all_there(folder, sessions)
    nodes.check(_FOLDER)
    _assert_all_there(folders[1], sessions)
    if not told["refused"] or not told["saw who"]:
        raise LabError(f"nobody was ever refused: {dict(told)}")
    return (
        f"twice {sessions} sessions with bins and with a project, {told['saves']} saves, "
        f"{told['refused']} times refused and told by whom; every clip is there once"
    )


def _at_once(program: str, folders: list[Path], sessions: int) -> list[dict[str, int]]:
    """Have both editors work; return what each says of it."""
    with contextlib.ExitStack() as started:
        running = [
            started.enter_context(ending(subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.editor", program, folder, who, str(sessions)],
                stdout=subprocess.PIPE, text=True,
            )))
            for who, folder in zip(("ana", "ben"), folders, strict=True)
        ]  # fmt: skip
        said = [process.communicate(timeout=_PATIENCE_S)[0] for process in running]
    if any(process.returncode for process in running):
        raise LabError(f"an editor of {program} ended with {[p.returncode for p in running]}")
    return [json.loads(each) for each in said]


def _assert_all_there(folder: Path, sessions: int) -> None:
    names = [path.name for path in folder.iterdir()]
    left = [name for name in names if "conflict" in name or name.endswith((".lck", ".prlock"))]
    assert not left, f"{folder}: {left}"
    of_bins = [clip for name in _BINS for clip in json.loads((folder / f"{name}.avb").read_text())]
    of_project = json.loads((folder / "film.prproj").read_text())
    for who in ("ana", "ben"):
        wanted = [f"{who} {number:04}" for number in range(sessions * _CLIPS)]
        for where, clips in (("bins", of_bins), ("film.prproj", of_project)):
            found = [clip for clip in clips if clip.startswith(who)]
            assert sorted(found) == wanted, f"{folder}: {where}: {len(found)} clips of {who}"
    for clips in (of_project, *(json.loads((folder / f"{b}.avb").read_text()) for b in _BINS)):
        for who in ("ana", "ben"):
            found = [clip for clip in clips if clip.startswith(who)]
            assert found == sorted(found), f"{folder}: the clips of {who} are not in their order"
    saved = list((folder / "Adobe Premiere Pro Auto-Save").iterdir())
    assert len(saved) == 2 * sessions, f"{folder}: {len(saved)} autosaves"
