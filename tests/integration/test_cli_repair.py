"""A bucket that lost its newest journal entries: alerts on all, and two ways out by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_fixture import Workstation, until, workstation

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(400)]

TOLD_S = 90.0
"""An idle workstation looks at its head in the bucket once a minute."""


def alert(station: Workstation, words: str) -> str:
    """Return what helps against the alert with these words, or nothing if there is none."""
    alerts = station.status()["alerts"]
    return next((alert["remedy"] for alert in alerts if words in alert["cause"]), "")


def contents_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_linked_workstations_notice_a_lost_history_and_get_off_it(tmp_path: Path) -> None:
    with workstation(tmp_path / "a") as a, workstation(tmp_path / "b") as b:
        a.unlocked("init", f"file://{a.folder}/bucket")
        a.unlocked("project", "create", "demo")
        project = a.unlocked("project", "list").out.split()[-1]
        journal = a.folder / "bucket" / "p" / project / "journal"
        ticket, code = a.unlocked("invite", "--unattended", "--for", "b").out.splitlines()
        b.unlocked(
            "join", "@" + str(b.secret_file("ticket", ticket)),
            "--code-file", b.secret_file("code", code),
        )  # fmt: skip
        port = a.facts("status")["addresses"]["control_port"]
        b.change_settings(peers=[f"127.0.0.1:{port}"])
        at_a, at_b = a.folder / "drive", b.folder / "drive"
        a.unlocked("mount", "demo", at_a, "--durability", "cloud")
        (at_a / "one").write_text("1")
        b.unlocked("mount", "demo", at_b, "--durability", "cloud")
        assert (at_b / "one").read_text() == "1"
        b.ok("umount", at_b)
        blocks = a.folder / "bucket" / "p" / project / "block"
        older = contents_below(blocks)
        for name in ("two", "three", "four"):
            (at_a / name).write_text(name)
        kept = {path.name: path.read_bytes() for path in sorted(journal.iterdir())}

        # First: nobody has gone on, and what was lost is put back, with the blocks of the files.
        shared = len(kept) - 3
        newer = contents_below(blocks)
        for path in newer.keys() - older.keys():
            path.unlink()
        for name in list(kept)[shared:]:
            (journal / name).unlink()
        a.ok("umount", at_a)
        refused = a.run("repair", "demo", "--passphrase-file", a.words)
        assert refused.code != 0
        assert "which the bucket does not have" in refused.out
        assert "--put-back` puts that back" in refused.out
        assert len(list(journal.iterdir())) == shared, "nothing is changed unasked"
        said = a.unlocked("repair", project, "--put-back", "--yes").out
        assert "3 blocks of files" in said
        assert contents_below(blocks) == newer
        assert {path.name: path.read_bytes() for path in sorted(journal.iterdir())} == kept
        assert "nothing to repair" in a.unlocked("repair", "demo", "--put-back", "--yes").out

        # A gap that others have built on: to start again would give up all that came after it.
        (journal / list(kept)[shared]).unlink()
        refused = a.run("repair", "demo", "--yes", "--passphrase-file", a.words)
        assert refused.code != 0
        assert "before it" in refused.out
        assert "--put-back" in refused.err
        a.unlocked("repair", "demo", "--put-back", "--yes")
        assert {path.name: path.read_bytes() for path in sorted(journal.iterdir())} == kept

        # Then it loses them again while a is mounted, and b, who never saw them, goes on.
        a.unlocked("mount", "demo", at_a, "--durability", "cloud")
        for name in list(kept)[shared:]:
            (journal / name).unlink()
        b.unlocked("mount", "demo", at_b, "--durability", "cloud")
        (at_b / "two").write_text("of b")
        until(
            lambda: "lucidnode repair" in alert(a, "The bucket no longer has journal entry"), TOLD_S
        )
        until(lambda: "lucidnode repair" in alert(b, "Device "), TOLD_S)
        assert (at_a / "two").read_text() == "two", "what is here can still be read"
        a.ok("umount", at_a)
        refused = a.run("repair", "demo", "--put-back", "--yes", "--passphrase-file", a.words)
        assert "nothing can be put back" in refused.err

        # Had the bucket kept what came last, nobody could put the rest back below that now.
        last = list(kept)[-1]
        (journal / last).write_bytes(kept[last])
        refused = a.run("repair", "demo", "--put-back", "--yes", "--passphrase-file", a.words)
        assert f"take p/{project}/journal/{list(kept)[shared]} away" in refused.err
        (journal / last).unlink()
        said = a.unlocked("repair", "demo", "--yes").out
        assert "stands on the bucket's history again" in said
        assert "kept: three" in said
        assert "kept: four" in said
        assert "kept: two (conflict" in said
        a.unlocked("mount", "demo", at_a, "--durability", "cloud")
        until(lambda: len(list(at_b.iterdir())) == 5)
        contents = sorted(path.read_text() for path in at_b.iterdir())
        assert contents == sorted(path.read_text() for path in at_a.iterdir())
        assert contents == ["1", "four", "of b", "three", "two"]

        def alerts() -> list[object]:
            return [alert for each in (a, b) for alert in each.status()["alerts"]]

        until(lambda: not alerts(), TOLD_S, said=alerts)
        a.ok("umount", at_a)

        # Who judged an entry differently than the others has all of it judged anew.
        said = a.unlocked("repair", "demo", "--start-again", "--yes").out
        assert "stands on the bucket's history again" in said
        assert "kept:" not in said
