"""Files from one process to another by `sendfile`, as bare as it can be: what `scripts/bench peers` compares with.

    python -P -m lab.bare_transfer send ADDRESS PORT RATE FILE...
    python -P -m lab.bare_transfer receive ADDRESS PORT DIRECTORY

One connection. The sender waits for it, sends each file behind its length, RATE bytes a second at
most (0: as fast as it goes), and the receiver writes each into a file of its own in DIRECTORY. It
prints, as JSON, the seconds from the first byte to the last, and its CPU; the sender its CPU.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from pathlib import Path

_CONNECT_S = 10.0
_LENGTH_BYTES = 4


def send(address: str, port: int, rate: float, files: list[str]) -> dict[str, float]:
    """Serve *files* to the first that connects; return the CPU it took, in seconds."""
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
                done = 0
                while done < size:
                    done += os.sendfile(connected.fileno(), file.fileno(), done, size - done)
            sent += size
            if rate:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))  # noqa: TID251  # it paces
    return {"cpu_s": _cpu()}


def receive(address: str, port: int, directory: str) -> dict[str, float]:
    """Write all that comes; return bytes, seconds and CPU."""
    with socket.create_connection((address, port), _CONNECT_S) as connected:
        connected.settimeout(None)
        began, total, buffer = time.monotonic(), 0, bytearray()
        while head := connected.recv(_LENGTH_BYTES, socket.MSG_WAITALL):
            size = int.from_bytes(head)
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
            total += size
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
