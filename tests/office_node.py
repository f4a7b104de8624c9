"""A node of `office_fixture` as a program of its own, found by mDNS. Started by `switch_fixture`.

Arguments: lan key (hex), number of blocks, own device.pem, all device.pem files ..., and
`--peer HOST:PORT`. Answers one JSON line for each JSON line it is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from office_fixture import PROJECT, Bucket, Node, Roll, node

from lucidnode.discovery.advert import Advert
from lucidnode.discovery.candidate import Candidate, parse_peer
from lucidnode.discovery.mdns import Mdns
from lucidnode.node.client.ids import BlockId
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.network import PeerNetwork


class Ears:
    """Passes on what mDNS says, and remembers it."""

    def __init__(self, office: PeerNetwork) -> None:
        self.office = office
        self.found_now: dict[str, Candidate] = {}

    def found(self, instance: str, candidate: Candidate) -> None:
        self.found_now[instance] = candidate
        self.office.found(instance, candidate)

    def gone(self, instance: str) -> None:
        self.found_now.pop(instance, None)
        self.office.gone(instance)


async def read(here: Node, blocks: list[BlockId], count: int) -> dict[str, object]:
    """Read *count* blocks one after the other that another node owns."""
    waits, sources = [], []
    for block in [b for b in blocks if not here.office.owns(b)][:count]:
        here.cache.blocks.pop(block, None)
        began = time.monotonic()
        sources.append((await here.source.fetch(PROJECT, block)).source)
        waits.append(time.monotonic() - began)
    return {"longest": max(waits), "sources": sources}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lan_key")
    parser.add_argument("blocks", type=int)
    parser.add_argument("own", type=Path)
    parser.add_argument("all", type=Path, nargs="+")
    parser.add_argument("--peer", default=[], action="append", type=parse_peer)
    options = parser.parse_args()
    identity = DeviceIdentity.load(options.own)
    roll = Roll(*map(DeviceIdentity.load, options.all))
    bucket = Bucket()
    blocks = bucket.fill(options.blocks, 100_000)
    async with (
        node(identity, roll, bucket, *options.peer, host=None) as here,
        asyncio.TaskGroup() as tasks,
    ):
        ears = Ears(here.office)
        own = Advert(identity.id, here.office.control_port, 4)
        mdns = Mdns(lan_key=bytes.fromhex(options.lan_key), own=own, listener=ears)
        running = tasks.create_task(mdns.run())
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            if question["do"] == "read":
                answer = await read(here, blocks, question["count"])
            else:
                answer = {
                    "device": identity.id,
                    "port": here.office.control_port,
                    "usable": sorted(here.usable()),
                    "found": [[list(c.hosts), c.device] for c in ears.found_now.values()],
                    "addresses": [facts.address for facts in here.office.facts()],
                    "mdns": mdns.state,
                }
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        running.cancel()


if __name__ == "__main__":
    asyncio.run(main())
