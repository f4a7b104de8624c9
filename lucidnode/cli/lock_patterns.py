"""What may follow `--lock-on-open`."""

from __future__ import annotations

import click

from lucidnode.cli.persistent_mounts import MAX_PATTERNS

NO_FILE = "none"
"""The word for locking no file at all."""

_MAX_CHARACTERS = 255


def lock_patterns(given: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the patterns of names, in lower case; None if nothing was said. Raises BadParameter."""
    if not given:
        return None
    if NO_FILE in given:
        if len(given) > 1:
            raise click.BadParameter(f"`{NO_FILE}` stands for itself, beside no other pattern")
        return ()
    for pattern in given:
        if not 0 < len(pattern) <= _MAX_CHARACTERS or "/" in pattern or "\0" in pattern:
            raise click.BadParameter(
                f"{pattern!r} is no pattern of names of files, such as *.prproj: without directories, "
                f"of at most {_MAX_CHARACTERS} characters"
            )
    if len(given) > MAX_PATTERNS:
        raise click.BadParameter(f"these are more than {MAX_PATTERNS} patterns")
    return tuple(dict.fromkeys(pattern.lower() for pattern in given))
