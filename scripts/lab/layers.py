"""`scripts/layers`: draws the rooms of the code, and who imports whom, into docs/architecture.md.

The drawing is made from the imports. `--check` only compares; a test does the same.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import grimp

from lab.places import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"

_PLACE = re.compile(r"(<!-- layers -->\n).*?(<!-- end of layers -->)", re.DOTALL)


def drawing() -> str:
    """Return the rooms of both planes, the highest first, and what of their plane each imports."""
    graph = grimp.build_graph("lucidnode")
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    parts = []
    for contract in contracts["contracts"]:
        if contract["type"] == "layers":
            (container,) = contract["containers"]
            parts.append(_plane(graph, container, contract["layers"]))
    return "\n".join(parts)


def drawn(page: str, picture: str) -> str:
    """Return *page* with *picture* in the place of the one it has."""
    return _PLACE.sub(lambda found: f"{found[1]}{picture}{found[2]}", page)


def _plane(graph: grimp.ImportGraph, container: str, layers: list[str]) -> str:
    floors = [layer.split(" | ") for layer in layers]
    width = max(len(room) for floor in floors for room in floor)
    lines = [f"**`{container.removeprefix('lucidnode.').replace('.', '/')}/`**", "", "```"]
    for place, floor in enumerate(floors):
        beneath = [room for lower in floors[place + 1 :] for room in lower]
        for room in floor:
            below = [
                other
                for other in beneath
                if _imports(graph, f"{container}.{room}", f"{container}.{other}")
            ]
            arrow = f"  ──▶  {' '.join(below)}" if below else ""
            lines.append(f"{room:<{width}}{arrow}".rstrip())
    return "\n".join([*lines, "```", ""])


def _imports(graph: grimp.ImportGraph, room: str, other: str) -> bool:
    inside = {other, *graph.find_descendants(other)}
    return any(
        inside & graph.find_modules_directly_imported_by(module)
        for module in {room, *graph.find_descendants(room)}
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Fail if the page shows another state.")
def main(check: bool) -> None:
    """Draw the layers of the code into docs/architecture.md."""
    page = PAGE.read_text()
    now = drawn(page, drawing())
    if check and page != now:
        raise click.ClickException("docs/architecture.md shows other imports: run scripts/layers")
    Path(PAGE).write_text(now)


if __name__ == "__main__":
    main()
