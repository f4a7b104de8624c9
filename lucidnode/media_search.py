"""Where in a project the media lie that a timeline names by the path of another machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


class MediaSearch:
    """Looks below *folders*.

    The longest end of the path that leads to a file below one of them wins: of
    `/Volumes/Film/rushes/day 1/A001.mov`, below the project's root, `rushes/day 1/A001.mov`. Where none
    does, the name alone is looked for, in any case of its letters: all folders are read then, once.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, parts: Sequence[str]) -> list[Path]:
        """Return the file that *parts* mean; none, or several that fit equally well."""
        for start in range(len(parts)):
            there = [folder.joinpath(*parts[start:]) for folder in self._folders]
            if found := [path for path in there if path.is_file()]:
                return found
        named = self._named(parts[-1])
        ends = [_same_end(path.parts, parts) for path in named]
        return [path for path, end in zip(named, ends, strict=True) if end == max(ends)]

    def _named(self, name: str) -> list[Path]:
        if self._by_name is None:
            self._by_name = {}
            for folder in self._folders:
                for place, _, names in os.walk(folder):
                    for each in names:
                        known = self._by_name.setdefault(_plain(each), [])
                        known.append(Path(place, each))
        # An EDL names a clip, often without what its file's name ends in.
        return self._by_name.get(_plain(name), []) or [
            path
            for known, paths in self._by_name.items()
            if known.rpartition(".")[0] == _plain(name)
            for path in paths
        ]


def _plain(name: str) -> str:
    return name.casefold()


def _same_end(path: Sequence[str], parts: Sequence[str]) -> int:
    """Return how many parts *path* and *parts* have in common from their ends on."""
    count = 0
    for one, other in zip(reversed(path), reversed(parts), strict=False):
        if _plain(one) != _plain(other):
            break
        count += 1
    return count
