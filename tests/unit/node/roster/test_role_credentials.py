"""How credentials of a role reach workstations: tried, used once, sealed anew to who came later."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from disk_fixture import ManualClock
from studio_fixture import Studio

from lucidnode.fs.format import sodium
from lucidnode.fs.membership.entries import role_entry
from lucidnode.fs.membership.member_file import Membership
from lucidnode.fs.membership.role_sealing import seal_to_who_came_later, sealed_for_role
from lucidnode.node.bucket.bucket import Listed
from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.keys import credentials_key
from lucidnode.node.bucket.memory import MemoryBucket
from lucidnode.node.client import wire
from lucidnode.node.client.alerts import Alerts
from lucidnode.node.client.device_seal import open_as_device
from lucidnode.node.client.errors import AccessDenied, Malformed, Refused, Unavailable
from lucidnode.node.client.role_credentials import SetName, holders
from lucidnode.node.client.roster_entry import Role, device_id
from lucidnode.node.roster.role_credentials import TOPIC, RoleCredentials
from lucidnode.node.roster.way_in import SLOTS, WaysIn

ADA, BO, DI = b"ad" * 16, b"bo" * 16, b"di" * 16


class CountingBucket(MemoryBucket):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def list(self, prefix: str, after: str | None = None, limit: int = 1000) -> list[Listed]:
        self.asked += 1
        return await super().list(prefix, after, limit)

    async def get(self, key: str, span: tuple[int, int] | None = None) -> bytes:
        self.asked += 1
        return await super().get(key, span)


class Station:
    """A workstation's part of it, with what was *used* there; also its socket, to who has it."""

    def __init__(self, office: Office, seed: bytes, used: SetName | None = None) -> None:
        self.office, self.clock = office, ManualClock()
        self.alerts = Alerts(self.clock)
        self.tried: list[str] = []
        self.used: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.served = RoleCredentials(
            bucket=office.bucket,
            roster=office.studio.roster,
            device=device_id(sodium.signing_public(seed)),
            unseal=partial(open_as_device, seed),
            used=used,
            attempt=self._attempt,
            use=self._use,
            alerts=self.alerts,
            clock=self.clock,
        )

    async def _attempt(self, given: Credentials) -> None:
        self.tried.append(given.access_key)
        if self.error is not None:
            raise self.error

    async def _use(self, given: Credentials, name: SetName) -> None:
        self.used.append((given.access_key, str(name)))

    async def entries(self, look: wire.RosterLook = "try") -> list[bytes]:
        return self.office.studio.entries

    async def unreached(self) -> list[Role]:
        return await self.served.unreached()

    async def of_role(self, role: Role) -> wire.RoleSet:
        return await self.served.of_role(role)

    async def create(self, role: Role, number: int, body: bytes) -> bool:
        return await self.served.create(role, number, body)


class Office:
    """Ada, an owner, founded; Di is a viewer."""

    def __init__(self) -> None:
        self.studio, self.bucket = Studio(seed=ADA), CountingBucket()
        self.di = self.studio.join("viewer", "di", seed=DI)

    def give(
        self, number: int, key: str, role: Role = "viewer", by: Membership | None = None
    ) -> None:
        view, name = self.studio.view(by or self.studio.ada), SetName(role, number)
        body = sealed_for_role(
            view,
            name,
            msgspec.json.encode(Credentials(key, "secret")),
            holders(self.studio.roster(), role),
        )
        self.bucket.objects[credentials_key(name)] = body


async def test_new_credentials_are_tried_and_then_used_once() -> None:
    office = Office()
    di = Station(office, DI)
    await di.served.follow()
    office.give(1, "AK1")
    await di.served.follow()
    await di.served.follow()
    office.give(2, "AK2")
    await di.served.follow()
    assert di.used == [("AK1", f"viewer/{1:016d}"), ("AK2", f"viewer/{2:016d}")]
    # After a start, what was used last is not used again: a person may have given others meanwhile.
    again = Station(office, DI, used=SetName("viewer", 2))
    await again.served.follow()
    assert again.used == []


async def test_credentials_that_the_bucket_does_not_take_replace_none_and_are_told(
    expected_warnings: list[str],
) -> None:
    expected_warnings.append("does not take them")
    office = Office()
    di = Station(office, DI)
    office.give(1, "AK1")
    di.error = AccessDenied("no such key")
    await di.served.follow()
    assert di.used == []
    (alert,) = [one for one in di.alerts.current() if one.topic == TOPIC]
    assert "no such key" in alert.cause
    di.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await di.served.follow()
    di.error = None
    await di.served.follow()
    assert [key for key, _ in di.used] == ["AK1"]
    assert not di.alerts.current()


async def test_another_role_brings_its_credentials() -> None:
    office = Office()
    office.give(7, "AKV")
    di = Station(office, DI)
    await di.served.follow()
    view = office.studio.view(office.studio.ada)
    office.studio.entries.append(role_entry(view, office.di.keys.public, None, "editor"))
    office.give(1, "AKE", "editor")
    di.served.look_soon()
    await di.served.follow()
    assert [key for key, _ in di.used] == ["AKV", "AKE"]


async def test_what_no_owner_made_is_passed_over_and_read_once() -> None:
    office = Office()
    office.give(1, "AK1")
    office.give(2, "AKFORGED", by=office.di)
    office.bucket.objects[credentials_key(SetName("viewer", 3))] = b"junk"
    office.bucket.objects["credentials/viewer/none"] = b"junk"
    di = Station(office, DI)
    await di.served.follow()
    assert [key for key, _ in di.used] == ["AK1"]
    before = office.bucket.asked
    await di.served.follow()
    assert office.bucket.asked == before + 1


async def test_an_owner_who_came_later_hands_on_nothing_else_until_it_is_sealed_to_him() -> None:
    office = Office()
    office.give(1, "AKV")
    bo_keys = office.studio.join("owner", "bo", seed=BO)
    ada, bo = Station(office, ADA), Station(office, BO)
    way_in = WaysIn(bo.served.newest, office.studio.roster, None)
    with pytest.raises(Refused, match="every viewer has credentials"):
        await way_in.of_role("viewer")
    # He cannot, and who can does it once.
    assert await seal_to_who_came_later(bo, bo, bo_keys) == []
    assert await seal_to_who_came_later(ada, ada, office.studio.ada) == ["viewer"]
    asked, kept = office.bucket.asked, dict(office.bucket.objects)
    assert await seal_to_who_came_later(ada, ada, office.studio.ada) == []
    assert office.bucket.asked <= asked + 2
    assert await seal_to_who_came_later(ada, ada, office.studio.ada) == []
    assert office.bucket.asked <= asked + 2
    # Another workstation of Ada's has not looked since: it looks before it does it again.
    elsewhere = Station(office, ADA)
    office.bucket.objects.pop(credentials_key(SetName("viewer", 2)), None)
    await elsewhere.of_role("viewer")
    assert await seal_to_who_came_later(ada, ada, office.studio.ada) == []
    office.bucket.objects |= kept
    assert await seal_to_who_came_later(elsewhere, elsewhere, office.studio.ada) == []
    bo.served.look_soon()
    assert (await bo.of_role("viewer")).credentials["access_key"] == "AKV"
    # The same again under another number is no reason to do anything.
    di = Station(office, DI, used=SetName("viewer", 1))
    await di.served.follow()
    assert [name for _, name in di.used] == [f"viewer/{2:016d}"]


async def test_nothing_is_asked_for_who_is_no_owner() -> None:
    office = Office()
    di = Station(office, DI)
    assert await di.unreached() == []
    assert office.bucket.asked == 0


async def test_a_number_is_taken_once() -> None:
    office = Office()
    ada = Station(office, ADA)
    assert await ada.create("viewer", 1, b"one")
    assert await ada.create("viewer", 1, b"one"), "a try of ours that was not told"
    assert not await ada.create("viewer", 1, b"two")
    for number in (0, 10**16):
        with pytest.raises(Malformed):
            await ada.create("viewer", number, b"")


async def test_a_viewer_gets_urls_for_the_next_entries_of_the_log_and_others_none() -> None:
    office = Office()
    office.give(1, "AKV")
    office.give(1, "AKE", "editor")
    ada = Station(office, ADA)

    async def presign(keys: object, lasts_s: int) -> list[str]:
        assert isinstance(keys, list)
        return [f"https://s3/{key}?{lasts_s}" for key in keys]

    way_in = WaysIn(ada.served.newest, office.studio.roster, presign)

    viewer, head = await way_in.of_role("viewer"), office.studio.roster().head
    assert list(viewer.slots) == list(range(head + 1, head + 1 + SLOTS))
    assert f"roster/{head + 1:016d}?86400" in viewer.slots[head + 1]
    assert viewer.credentials == {"access_key": "AKV", "secret_key": "secret"}
    assert not (await way_in.of_role("editor")).slots
    assert await way_in.of_role("owner") == wire.WayIn({}, {})
