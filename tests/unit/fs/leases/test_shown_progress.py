"""How far the files of another workstation are on their way, as people are told here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random  # noqa: TID251  # seeded

import msgspec
import pytest
from committer_fixture import KEYS, PROJECT, VirtualClock
from office_links import OfficeLinks
from replica_fixture import Blocks, Journal, Node

from lucidnode.fs.files.on_their_way import LOOK_S, OnTheirWay
from lucidnode.fs.files.work_here import WorkHere
from lucidnode.fs.format.office_message import MOST_FILES, ProgressQuery, ProgressReply
from lucidnode.fs.leases.office_questions import ANSWER_S, MOST_ASKED, OfficeQuestions
from lucidnode.fs.leases.shown_progress import ShownProgress
from lucidnode.fs.read.open_files import OpenFiles
from lucidnode.fs.replica.inode import InodeNo
from lucidnode.fs.replica.intents import Mark
from lucidnode.fs.write.marks import OnItsWay, encoded_mark
from lucidnode.fs.write.shipments import Shipments
from lucidnode.fs.write.unfinished import Unfinished
from lucidnode.node.client.ids import BlockId, DeviceId
from lucidnode.node.client.mount_messages import FileOnItsWay

REEL = b"reel" * 1000
BLOCK = 1 << 20


class Daemon:
    async def uploaded(self, project: object, blocks: Sequence[BlockId]) -> list[BlockId]:
        return []


class Desk:
    """A workstation that shows what is on its way."""

    def __init__(
        self, path: Path, name: str, blocks: Blocks, clock: VirtualClock, links: OfficeLinks
    ) -> None:
        self.node = Node(path / f"{name}.db", name, blocks)
        self.device = DeviceId(name.encode().ljust(16, b".").hex())
        unfinished = Unfinished(clock)
        self.shipments = Shipments(
            PROJECT, self.node.replica, Daemon(), unfinished, clock, lambda: None
        )
        work = WorkHere(
            self.node.replica,
            unfinished,
            OpenFiles(),
            self.device,
            lambda device: bytes.fromhex(device).decode().strip("."),
        )
        on_their_way = OnTheirWay(work, self.shipments, lambda _: None, BLOCK, clock)
        recalls = links.mount(KEYS, self.device, Random(name).randbytes, clock)
        self.questions = OfficeQuestions(recalls, Random(name).randbytes)
        self.progress = ShownProgress(on_their_way, self.questions)

    async def shown(self) -> list[FileOnItsWay]:
        await self.progress.ask()
        return self.progress.files()


class Office:
    """Two desks; a's films are on their way, and b's replica has a's marks of them."""

    def __init__(self, path: Path, films: int) -> None:
        self.clock, self.links = VirtualClock(), OfficeLinks()
        blocks = Blocks()
        self.a, self.b = (Desk(path, name, blocks, self.clock, self.links) for name in "ab")
        self.films = [self.a.node.create(b"%03d.mov" % number) for number in range(films)]
        self.later = self.a.node.create(b"later.mov")
        Journal().settle(self.a.node, self.b.node)
        self.mark = mark = encoded_mark(OnItsWay("uploading", self.a.device))
        for number, ino in enumerate(self.films):
            self.a.node.write(ino, b"%03d" % number + REEL)
            self.a.node.write(ino, b"%03d" % number + REEL[::-1], offset=3 + len(REEL))
            self.b.node.replica.apply(Mark(ino, mark))

    def arrive(self, number: int, data: bytes) -> None:
        block = self.a.node.blocks.seal(b"%03d" % number + data).id
        self.a.shipments.note_arrived([block])


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path, 40)
    yield office
    for desk in (office.a, office.b):
        desk.node.close()


async def test_a_colleague_says_how_far_each_of_his_files_is(office: Office) -> None:
    whole = 2 * (3 + len(REEL))
    unknown = FileOnItsWay("000.mov", "uploading", "a", None)
    assert office.b.progress.files()[0] == unknown
    shown = await office.b.shown()
    assert [file.bytes_left for file in shown] == [whole] * 40, "they fit into several words"
    assert len({word for _, _, word in office.links.said}) == 2 * 3
    office.arrive(7, REEL)
    office.clock.now += 2.0
    office.arrive(7, REEL[::-1])
    # Another's half is there, and no rate is to be seen of one block.
    office.arrive(8, REEL)
    shown = await office.b.shown()
    half = whole // 2
    assert shown[7] == FileOnItsWay("007.mov", "uploading", "a", 0, whole, round(half / 2), 0.0)
    assert shown[8] == FileOnItsWay("008.mov", "uploading", "a", half, whole, 0, None)
    # Whose link is cut is shown as he was known: by the mark.
    office.links.cut = True
    assert (await office.b.shown())[0] == unknown


async def test_who_says_nothing_holds_nobody_up_and_what_nobody_asked_for_is_not_believed(
    office: Office,
) -> None:
    await office.b.shown()
    [answer, *_] = [word for sender, _, word in office.links.said if sender == office.a.device]
    office.links.fate = lambda: 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    shown = await office.b.shown()
    assert loop.time() - began >= ANSWER_S
    assert all(file.bytes_left is None for file in shown)
    office.links.mounts[office.b.device].heard(office.a.device, answer)  # repeated: too late
    assert all(file.bytes_left is None for file in office.b.progress.files())


async def test_only_who_has_a_file_on_its_way_says_how_far_it_is(office: Office) -> None:
    ino: InodeNo = office.films[0]
    liar = encoded_mark(OnItsWay("uploading", DeviceId(b"c".ljust(16, b".").hex())))
    office.b.node.replica.apply(Mark(ino, liar))
    shown = {file.path: file for file in await office.b.shown()}
    assert shown["000.mov"] == FileOnItsWay("000.mov", "uploading", "c", None)
    assert shown["001.mov"].bytes_left is not None


@pytest.mark.parametrize("device", ["", "a", "A" * 32, "\x1b" * 32])
async def test_a_mark_of_no_device_says_nothing_and_nobody_is_asked(
    office: Office, device: str
) -> None:
    wrong = msgspec.msgpack.encode({"state": "uploading", "device": device})
    office.b.node.replica.apply(Mark(office.films[0], wrong))
    shown = {file.path: file for file in await office.b.shown()}
    assert len(shown) == 39
    assert shown["001.mov"].bytes_left is not None


async def test_rows_that_name_many_devices_take_no_room_from_words_about_leases(
    office: Office,
) -> None:
    desks = [DeviceId(f"{number:032x}") for number in range(1000)]
    for device in desks:
        office.links.mount(KEYS, device, Random(device).randbytes, office.clock)
    asked = ((device, partial(ProgressQuery, inos=[1])) for device in desks)
    assert await office.b.questions.ask(asked) == []
    assert len(office.links.said) == MOST_ASKED


async def test_who_asks_often_costs_one_look_a_second(office: Office) -> None:
    """A look goes through all that waits, and everybody who has a dashboard open asks for it."""
    await office.b.shown()
    office.a.node.write(office.later, REEL)
    office.b.node.replica.apply(Mark(office.later, office.mark))
    assert (await office.b.shown())[-1] == FileOnItsWay("later.mov", "uploading", "a", None)
    before = await office.b.shown()
    office.arrive(7, REEL)
    assert (await office.b.shown())[7] == before[7], (
        "what is said goes through all blocks of the file"
    )
    office.clock.now += LOOK_S
    after = await office.b.shown()
    assert after[-1].bytes_left == len(REEL)
    assert after[7] != before[7]


async def test_who_asks_for_one_file_many_times_is_told_once(office: Office) -> None:
    films = [int(office.films[0])] * MOST_FILES
    [(_, reply)] = await office.b.questions.ask(
        [(office.a.device, lambda number: ProgressQuery(number, films))]
    )
    assert isinstance(reply, ProgressReply)
    assert [file.ino for file in reply.files] == films[:1]
