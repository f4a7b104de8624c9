"""What people name who settle a conflict: the copy, or the file that it is of."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from lucidnode.cli.app import cli

COPY = "cut (conflict, {}, 2026-11-26 14-10-00).prproj"


def dismissed(home: Path, file: Path) -> Result:
    return CliRunner().invoke(cli, ["--home", str(home), "conflicts", "dismiss", str(file)])


def test_the_file_beside_which_a_conflict_copy_lies_names_it(tmp_path: Path) -> None:
    cut = tmp_path / "cut.prproj"
    for name in (cut.name, "cut two.prproj", COPY.format("edit-2")):
        (tmp_path / name).write_text(name)
    assert dismissed(tmp_path, cut).exit_code == 0
    version = tmp_path / COPY.format("edit-2").replace("conflict", "version")
    assert version.read_text() == COPY.format("edit-2")
    assert cut.read_text() == "cut.prproj"
    none = dismissed(tmp_path, cut)
    assert none.exit_code == 2
    assert "has none: `lucidnode conflicts list` shows those there are" in none.output


def test_of_several_copies_none_is_chosen(tmp_path: Path) -> None:
    names = ["cut.prproj", COPY.format("edit-2"), COPY.format("vm")]
    for name in names:
        (tmp_path / name).write_text("")
    several = dismissed(tmp_path, tmp_path / "cut.prproj")
    assert several.exit_code == 2
    assert all(name in several.output for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
