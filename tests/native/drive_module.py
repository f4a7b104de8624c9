"""Drives the compiled module that argv[1] names, with values of every kind; a sanitizer looks on.

A process of its own, since the sanitizer's library has to be there before the interpreter. Ends with 0 if
nothing but errors of Python's came of it. argv[2] is the seed, argv[3] how many steps.
"""

from __future__ import annotations

import contextlib
import os
import random  # noqa: TID251 - seeded
import select
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any, cast

_HEADER = struct.Struct("=IIQQIIIHH")
_EXPECTED = (TypeError, ValueError, OverflowError, OSError, RuntimeError, MemoryError)
_PAGE = 4096
_DIRECT = 1 << 15 | 1 << 16
_GETATTR, _READ, _WRITE = 3, 15, 16
_LONG = 900_000
"""Bytes of a WRITE that Python gets as it was read."""
_SNDBUFFORCE = 32
"""Of asm-generic/socket.h; Python has no name for it."""
_BEGUN_ANEW_S = 0.3
"""Seconds for a call to be begun anew; the fault that is looked for needs no more, and nothing fails by it."""

_WRITEV = {"x86_64": "20", "aarch64": "66"}[os.uname().machine]


def module(path: str) -> Any:
    """Return the module in the file *path*."""
    loader = ExtensionFileLoader("_channel", path)
    found = module_from_spec(ModuleSpec("_channel", loader, origin=path))
    loader.exec_module(found)
    return found


class Driver:
    """One module, and a socket pair in the part of the kernel's device."""

    def __init__(self, channel: Any, seed: int) -> None:
        self.channel = channel
        self.random = random.Random(seed)
        self.blocks: list[object] = []
        self.kept: list[memoryview] = []
        self.file = os.memfd_create("block")
        os.truncate(self.file, 1 << 20)

    # -- arguments of every kind -----------------------------------------------------------------

    def value(self) -> object:
        """Return something that may be an argument."""
        pick = self.random.choice
        numbers = [0, 1, -1, 5, 255, _PAGE, 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**70]
        data = [b"", b"k" * 32, b"a" * 64, b"a" * 65, bytearray(40), memoryview(b"abcdef")[1:4]]
        others = [None, "text", 1.5, [], self.file, self, *self.blocks[-3:]]
        return pick([*numbers, *data, *others])

    def ask_anything(self) -> None:
        """Call anything with anything, but what would hang or end the process."""
        name = self.random.choice(
            [
                "take",
                "reply",
                "notify",
                "runs",
                "ended",
                "counts",
                "add_block",
                "block_number",
                "publish",
                "withdraw",
                "quiet",
                "unquiet",
                "places",
                "start",
                "stop",
            ]
        )
        count = self.random.randrange(8)
        if name == "start" or (name == "stop" and not count):
            return
        arguments = [self.value() for _ in range(count)]
        if name == "notify" or (name == "reply" and self.channel.runs()):
            return  # it would fill the socket; see `replied`
        with contextlib.suppress(*_EXPECTED):
            cast("Callable[..., object]", getattr(self.channel, name))(*arguments)

    # -- a life of the table -----------------------------------------------------------------------

    def publish(self) -> None:
        """Add, publish, withdraw or let go of blocks."""
        draw = self.random
        match draw.randrange(5):
            case 0:
                pages = draw.randrange(1, 9)
                self.blocks.append(
                    self.channel.add_block(
                        self.file, draw.choice([-1, self.file]), b"k" * 32, b"a" * 11, pages * _PAGE
                    )
                )
            case 1 if self.blocks:
                del self.blocks[draw.randrange(len(self.blocks))]
            case 2:
                self.channel.withdraw(draw.randrange(3))
            case 3 | 4 if self.blocks:
                start = draw.randrange(4) * _PAGE
                stop = start + draw.randrange(1, 4) * _PAGE
                self.channel.publish(
                    draw.randrange(3), 8 * _PAGE, start, stop, start, draw.choice(self.blocks)
                )
            case _:
                pass

    # -- requests and replies --------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self, decrypt: int) -> Iterator[tuple[socket.socket, int]]:
        """Run the channel while inside; yield the kernel's end, and pyfuse3's."""
        kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kernel.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 1 << 22)
        outside, event = self.channel.start(ours.fileno(), 3, _DIRECT, 1 << 36, 64, decrypt)
        ours.close()
        with contextlib.suppress(*_EXPECTED):
            self.channel.start(kernel.fileno(), 3, 0, 0, 0, 0)
        kernel.settimeout(60)
        drained = threading.Thread(target=self.drain, args=[kernel])
        drained.start()
        try:
            yield kernel, outside
            select.select([event], [], [], 0)
        finally:
            os.close(outside)
            self.channel.stop()
            with contextlib.suppress(OSError):
                kernel.shutdown(socket.SHUT_RDWR)
            drained.join()
            kernel.close()

    @staticmethod
    def drain(kernel: socket.socket) -> None:
        """Take what is replied, as a kernel does."""
        with contextlib.suppress(OSError):
            while kernel.recv(1 << 21):
                pass

    def message(self) -> bytes:
        """Return a message of a kernel, torn at times."""
        draw = self.random
        opcode = draw.choice([_GETATTR, _READ, _WRITE, 22, 26, 28, 44, 63, 64, 2**32 - 1])
        body = draw.randbytes(draw.randrange(200))
        if opcode == _WRITE and draw.randrange(4) == 0:
            body *= _LONG // (len(body) + 1)
        if opcode == _READ and draw.randrange(4):
            start = draw.randrange(9) * _PAGE - draw.randrange(2)
            size = draw.randrange(3 * _PAGE)
            body = struct.pack("=QQIIQII", draw.randrange(3), max(start, 0), size, 0, 0, 0, 0)
        length = _HEADER.size + len(body) + (draw.randrange(5) == 0)
        header = _HEADER.pack(length, opcode, draw.getrandbits(63) | 1, 7, 0, 0, 1, 0, 0)
        return (header + body)[: None if draw.randrange(8) else draw.randrange(1, 60)]

    def serve(self, kernel: socket.socket, outside: int) -> None:
        """Send a message, and answer some of those that come out."""
        kernel.send(self.message())
        while (taken := self.channel.take()) is not None:
            if isinstance(taken, memoryview):
                assert taken.readonly
                # Views live on, also when the channel has ended, and when another is in its place.
                self.kept = [*self.kept[-2:], taken[-10:]]
            with contextlib.suppress(OSError):
                unique = _HEADER.unpack_from(taken)[2]
                self.channel.reply(unique, self.random.choice([0, 5]), bytearray(taken[:64]))
        while select.select([outside], [], [], 0)[0]:
            asked = os.read(outside, 1 << 18)
            if self.random.randrange(2):
                reply = struct.pack("=IiQ", 16, 0, _HEADER.unpack_from(asked)[2])
                os.write(outside, reply[: self.random.choice([8, 16, 16, 16])])

    def notify(self) -> None:
        """Tell the kernel something, as other threads do."""
        for code in range(50):
            with contextlib.suppress(OSError, RuntimeError):
                self.channel.notify(2, struct.pack("=Qqq", code, 0, 0))

    # -- the end ---------------------------------------------------------------------------------

    def stop_while_one_is_held(self) -> None:
        """Stop while a thread is held in the device: what it writes must get into no other file.

        The number of a descriptor that is closed is the next file's, and a call that a signal
        interrupts is begun anew with that number. Nothing can be started afterwards.
        """
        kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outside, _ = self.channel.start(ours.fileno(), 1, _DIRECT, 0, 64, 0)
        with contextlib.suppress(BlockingIOError):
            while ours.send(b"full", socket.MSG_DONTWAIT):
                pass
        held = threading.Thread(target=self.channel.notify, args=[2, bytes(24)], daemon=True)
        held.start()
        while not _is_writing(held):
            threading.Event().wait(0.01)
        os.close(outside)
        self.channel.stop()
        files = [os.memfd_create("other") for _ in range(64)]
        signal.signal(signal.SIGUSR1, lambda *_: None)
        assert held.ident is not None
        signal.pthread_kill(held.ident, signal.SIGUSR1)
        held.join(_BEGUN_ANEW_S)
        self.take_until_ended(kernel, held)
        if any(os.fstat(file).st_size for file in files):
            raise SystemExit("what the kernel was to be told is in another file")

    @staticmethod
    def take_until_ended(kernel: socket.socket, held: threading.Thread) -> None:
        """Empty the socket until *held* has written what it wanted to."""
        kernel.settimeout(0.01)
        while held.is_alive():
            with contextlib.suppress(TimeoutError):
                kernel.recv(1 << 16)


def _is_writing(thread: threading.Thread) -> bool:
    """Tell whether *thread* is in writev(2)."""
    call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text()
    return call.split()[0] == _WRITEV


def main(path: str, seed: int, steps: int, decrypt: int) -> None:
    channel = module(path)
    driver = Driver(channel, seed)
    for _ in range(steps):
        driver.ask_anything()
        driver.publish()
    for key in (0, decrypt):
        with driver.running(key) as (kernel, outside):
            told = threading.Thread(target=driver.notify)
            told.start()
            for _ in range(steps):
                driver.serve(kernel, outside)
                driver.ask_anything()
                driver.publish()
            channel.places()
            told.join()
        driver.ask_anything()
    driver.blocks.clear()
    driver.stop_while_one_is_held()
    if sum(channel.counts().values()) < steps:
        raise SystemExit(f"little came through: {channel.counts()}")


if __name__ == "__main__":
    from lucidnode.fs.format.sodium import aegis256_address

    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), aegis256_address())
