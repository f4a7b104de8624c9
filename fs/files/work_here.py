"""What programs of this workstation are at in one project, and who this workstation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.replica import Replica
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.ids import DeviceId


@dataclass(frozen=True, slots=True)
class WorkHere:
    """What is asked about files that are not whole in the bucket. *device_name* is for people."""

    replica: Replica
    unfinished: Unfinished
    open_files: OpenFiles
    device: DeviceId
    device_name: Callable[[DeviceId], str]
