"""Recovery codes of one home: which of them open something."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lucidnode.fs.errors import WrongPassphrase
from lucidnode.fs.format.sodium import PassphraseCost
from lucidnode.fs.membership.member import Label, MemberKeys
from lucidnode.fs.membership.recovery_code import new_recovery_code, object_name, seal_recovery
from lucidnode.fs.membership.ticket import Ticket
from lucidnode.new_home import NodeOptions
from lucidnode.new_studio import BucketSpec, create_studio, opened_place
from lucidnode.node.bucket.keys import recovery_key
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import Refused
from lucidnode.recovery import RECOVERY_FILE, end_earlier_codes, find_recovery

CHEAP = PassphraseCost(passes=1, kibibytes=8)


async def test_earlier_codes_open_until_the_newest_is_in_its_owners_hands(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "bucket"
    place = BucketSpec.parse(f"file://{folder}", None, None, None, Network())
    local = NodeOptions(cache_dir=None, cache_limit_mib=None)
    await create_studio(home, place, local, "some words", Label("Ada", "edit-1"))
    _, bucket = await opened_place(place, create=False)
    ticket = Ticket(
        bucket="file:///moved",
        endpoint=None,
        region=None,
        credentials={},
        studio=b"S" * 16,
        genesis=b"g" * 32,
        lan_key=b"l" * 32,
        name_key=b"n" * 32,
        invite=MemberKeys.new(),
        expires_ns=2**62,
        suggested_name="Ada",
    )
    codes = [new_recovery_code() for _ in range(3)]  # the first two of runs that were killed
    for code in codes:
        await bucket.put(recovery_key(object_name(code)), seal_recovery(ticket, code, CHEAP))
    names = [object_name(code) for code in codes]
    (home / RECOVERY_FILE).write_bytes(msgspec.json.encode({"objects": names}))
    for code in codes:
        assert (await find_recovery(place, code)).bucket == place.url
    await end_earlier_codes(home, codes[2])
    assert (await find_recovery(place, codes[2])).invite == ticket.invite
    for code in codes[:2]:
        with pytest.raises(WrongPassphrase):
            await find_recovery(place, code)
    assert msgspec.json.decode((home / RECOVERY_FILE).read_bytes()) == {"objects": names[2:]}


@pytest.mark.parametrize("raw", [b"{", b'{"objects": ["\xff"]}', b'{"objects": ' + b"[" * 100_000])
async def test_a_list_of_codes_that_is_damaged_says_so(raw: bytes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    place = BucketSpec.parse(f"file://{tmp_path / 'bucket'}", None, None, None, Network())
    local = NodeOptions(cache_dir=None, cache_limit_mib=None)
    await create_studio(home, place, local, "some words", Label("Ada", "edit-1"))
    (home / RECOVERY_FILE).write_bytes(raw)
    with pytest.raises(Refused, match="damaged"):
        await end_earlier_codes(home, new_recovery_code())
