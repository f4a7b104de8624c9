"""A fault of a disk is told without the system's numbers, and with what a person does about it."""

from __future__ import annotations

import errno
import os

import pytest
from disk_fixture import ManualClock

from lucidnode.fs.errors import NoSpace
from lucidnode.node.client.alerts import Alert, Alerts
from lucidnode.node.client.disk_words import help_for, said_by
from lucidnode.node.client.errors import DiskFull
from lucidnode.node.client.guarded_disk import DiskAlert, GuardedDisk

SCRATCH = "/srv/cache/staging/.1f3c.7e4a4565.tmp"


def fault(number: int, filename: str | None = SCRATCH) -> OSError:
    return OSError(number, os.strerror(number), filename)


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (fault(errno.EACCES), "the right to read and write in /srv/cache/staging."),
        (fault(errno.EPERM, None), "the right to read and write in the cache."),
        (fault(errno.EROFS), "Mount the disk of /srv/cache/staging so that it can be written"),
        (fault(errno.ENOSPC), "Make room on the disk of /srv/cache/staging."),
        (fault(errno.EDQUOT, "/srv/cache"), "Make room on the disk of /srv/cache."),
        (fault(errno.EXDEV, "/srv/cache/arriving/1/1f3c"), "Keep all of the cache on one disk: "),
        (NoSpace("the disk is full"), "Make room on the disk of the cache."),
        (DiskFull("the disk is full"), "Make room on the disk of the cache."),
        (fault(errno.EIO), "Check the disk."),
        (ValueError("odd"), "Check the disk."),
    ],
)
def test_what_helps_depends_on_what_is_wrong(error: Exception, helps: str) -> None:
    assert helps in help_for(error, "the cache", "Check the disk.")
    said = said_by(error) + help_for(error, "the cache", "Check the disk.")
    assert "Errno" not in said
    assert ".tmp" not in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
async def test_the_alert_of_a_disk_names_what_to_do(
    number: int, expected_warnings: list[str]
) -> None:
    expected_warnings.append("The cache in /srv/cache fails: ")
    clock = ManualClock()
    alerts = Alerts(clock)
    alert = DiskAlert("the cache in /srv/cache", alerts)
    disk = GuardedDisk("the cache", threads=1, clock=clock, alert=alert)
    disk.failed(fault(number))
    [told] = alerts.current()
    assert _is_plain(told)
    assert "/srv/cache/staging" in told.remedy
    disk.close()


def _is_plain(alert: Alert) -> bool:
    return "Errno" not in alert.cause and ".tmp" not in alert.cause + alert.remedy
