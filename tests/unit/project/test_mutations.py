"""The list of mutations follows the code: each can be put in, and its tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab.mutation_copy import LIMIT_S, MutationCopy
from lab.mutations import Mutation, Unfit, mutated, mutations
from lab.places import REPOSITORY

ALL = mutations(REPOSITORY / "tests" / "mutations")


def test_each_mutation_fits_the_code_exactly_once() -> None:
    for name, mutation in ALL.items():
        text = mutated(mutation, REPOSITORY)
        compile(text, name, "exec")
        assert mutation.old != mutation.new, name


def test_the_tests_of_each_mutation_exist() -> None:
    for name, mutation in ALL.items():
        assert mutation.tests, name
        for test in mutation.tests:
            path, _, function = test.partition("::")
            assert f"def {function}(" in (REPOSITORY / path).read_text() or not function, (
                name,
                test,
            )


def test_the_table_shows_the_list_and_no_survivor() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \| .* \| (\S+) \| \d+ \|$", _table(), re.MULTILINE)
    assert [name for name, _ in rows] == list(ALL)
    assert "**none**" not in {noticed_by for _, noticed_by in rows}
    assert len(ALL) >= 30


def test_a_mutation_whose_text_is_gone_or_ambiguous_fails_loudly(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\na = 1\n")
    for old in ("b = 1", "a = 1"):
        with pytest.raises(Unfit, match=r"times in module\.py"):
            mutated(Mutation("why", "module.py", old, "", ["test"]), tmp_path)


def _table() -> str:
    return (REPOSITORY / "docs" / "mutations.md").read_text()


@pytest.mark.timeout(600)  # pytest starts twice, each time within LIMIT_S
def test_a_mutation_is_put_in_tried_and_taken_out_again(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("lucidnode", "node", "fs", "discovery", "tests", "scripts", "docs"):
        (source / name).mkdir(parents=True)
    (source / "pyproject.toml").write_text("")
    (source / "fs" / "module.py").write_text("ANSWER = 42\n")
    (source / "tests" / "test_module.py").write_text(
        "from fs.module import ANSWER\n\n\ndef test_answer():\n    assert ANSWER == 42\n"
    )
    copy = MutationCopy(source, tmp_path / "copy")
    digest = copy.digest()
    mutation = Mutation("why", "fs/module.py", "42", "41", ["tests/test_module.py"])
    assert copy.tried("name", mutation).noticed_by == "test_module.py::test_answer"
    assert copy.digest() == digest
    assert not copy.run(mutation.tests, LIMIT_S).first_failure
