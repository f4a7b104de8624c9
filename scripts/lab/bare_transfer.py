"""Files from one process to another by `sendfile`, as bare as it can be: what `scripts/bench peers` and `line` compare with.

    python -P -m lab.bare_transfer send ADDRESS PORT RATE FILE...
    python -P -m lab.bare_transfer receive ADDRESS PORT DIRECTORY

One connection. The sender waits for it, sends each file behind its length, RATE bytes a second at
most (0: as fast as it goes), and the receiver writes each into a file of its own in DIRECTORY, or has
the kernel drop them where that is `-`. It prints, as JSON, the seconds from the first byte to the
last, and its CPU; the sender its CPU.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.lab import Lab
from lab.places import SCRIPTS
from lab.process import ending

_CONNECT_S = 10.0
_LENGTH_BYTES = 4
_PORT = 47_000
_DROPPED = "-"

Said = dict[str, float]


def moved(
    lab: Lab,
    places: tuple[str, str],
    address: str,
    files: Sequence[Path],
    *,
    rate: float = 0,
    keeps: bool = True,
) -> tuple[Said, Said]:
    """Move *files* from one of two *places* of *lab*, which has *address*, to the other.

    At *rate* bytes a second at most, if not 0; the other *keeps* them, or drops what comes.
    Returns what the sender says, and the receiver.
    """
    target = lab.places.root / "bare"
    target.mkdir()
    try:
        asked = ["send", address, str(_PORT), str(rate), *map(str, files)]
        with ending(_python(lab, places[0], *asked)) as sender:
            assert sender.stdout is not None
            sender.stdout.readline()
            asked = ["receive", address, str(_PORT), str(target) if keeps else _DROPPED]
            with ending(_python(lab, places[1], *asked)) as receiver:
                took, _ = receiver.communicate()
            gave, _ = sender.communicate()
        return json.loads(gave), json.loads(took)
    finally:
        shutil.rmtree(target)


def _python(lab: Lab, place: str, *arguments: str) -> subprocess.Popen[str]:
    prefix, environment = lab.inside(place)
    return subprocess.Popen(
        [*prefix, "python", "-P", "-m", "lab.bare_transfer", *arguments],
        env={**environment, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        text=True,
    )


def send(address: str, port: int, rate: float, files: list[str]) -> Said:
    """Serve *files* to the first that connects, at *rate*; return the CPU it took, in seconds."""
    with socket.create_server((address, port)) as listening:
        listening.settimeout(_CONNECT_S)
        print("listening", flush=True)
        connected, _ = listening.accept()
    with connected:
        connected.settimeout(None)
        began, sent = time.monotonic(), 0
        for name in files:
            with Path(name).open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                connected.sendall(size.to_bytes(_LENGTH_BYTES), socket.MSG_MORE)
                if rate:
                    time.sleep(max(0, began + sent / rate - time.monotonic()))  # noqa: TID251
                done = 0
                while done < size:
                    done += os.sendfile(connected.fileno(), file.fileno(), done, size - done)
                sent += size
    return {"cpu_s": _cpu()}


def receive(address: str, port: int, directory: str) -> Said:
    """Write all that comes, or drop it; return bytes, seconds and CPU."""
    with socket.create_connection((address, port), _CONNECT_S) as connected:
        connected.settimeout(None)
        began, total, buffer = time.monotonic(), 0, bytearray()
        while head := connected.recv(_LENGTH_BYTES, socket.MSG_WAITALL):
            size = int.from_bytes(head)
            total += size
            if directory == _DROPPED:
                while size:
                    size -= len(connected.recv(size, socket.MSG_TRUNC))
                continue
            if len(buffer) < size:
                buffer = bytearray(size)
            view, have = memoryview(buffer)[:size], 0
            while have < size:
                have += connected.recv_into(view[have:])
            target = os.open(Path(directory, str(total)), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.write(target, view)
            finally:
                os.close(target)
        return {"bytes": total, "seconds": time.monotonic() - began, "cpu_s": _cpu()}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(what: str, address: str, port: str, *rest: str) -> None:
    """Run as a process of its own."""
    if what == "send":
        print(json.dumps(send(address, int(port), float(rest[0]), list(rest[1:]))))
    else:
        print(json.dumps(receive(address, int(port), rest[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
