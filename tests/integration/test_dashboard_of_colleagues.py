"""The dashboard on the LAN, for members alone: real TLS, a real browser, devices of a studio."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import chromium
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from dashboard_scene import GB, FixedUploads, Scene
from lab.free_ports import free_ports

from lucidnode.node.client.clock import SystemClock
from lucidnode.node.client.errors import NotThere, Refused, Unavailable
from lucidnode.node.client.ids import DeviceId, ProjectId, Seq
from lucidnode.node.client.roster import Device, ProjectRecord, Roster, Standing
from lucidnode.node.client.supervision import supervised
from lucidnode.node.dashboard.colleagues import SESSION_S, ColleagueServer
from lucidnode.node.dashboard.login import LOGIN_S, Opened
from lucidnode.node.dashboard.visits import Visits
from lucidnode.node.identity import DeviceIdentity
from lucidnode.node.peers.memory_budget import MemoryBudget
from lucidnode.node.peers.status import PeerStatus

METRICS = "m" * 64
PROJECT = ProjectId("c" * 32)
SECRET = "cut (conflict, edit-2, 2026-11-01 10-00-00).mov"


def device_of(identity: DeviceIdentity) -> Device:
    everywhere = Standing(Seq(1), None, "viewer")
    return Device(
        identity.id, identity.public, identity.certificate, b"member", "viewer", (everywhere,)
    )


class Moved(SystemClock):
    """A clock that a test sets ahead."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def boot(self) -> float:
        return super().boot() + self.ahead_s

    def wall_ns(self) -> int:
        return super().wall_ns() + int(self.ahead_s * 10**9)


class Office:
    """A workstation that shows its dashboard, and a colleague's who wants to see it."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene()
        self.clock = Moved()
        self.host = DeviceIdentity.create(folder / "host.pem")
        self.guest = DeviceIdentity.create(folder / "guest.pem")
        self.tls, self.pin = self.host.browser_context()
        [self.port] = free_ports(1)
        self.told_port = self.port
        record = ProjectRecord(PROJECT, 1 << 20, b"author", {}, Seq(2))
        self.roster = replace(
            Roster.empty(),
            studio=b"studio",
            devices={each.id: device_of(each) for each in (self.host, self.guest)},
            projects={PROJECT: record},
        )

    def peers(self) -> list[PeerStatus]:
        summary = msgspec.structs.replace(
            self.scene.office.summary(), page_port=self.told_port, page_pin=self.pin
        )
        address = "127.0.0.1"
        return [PeerStatus(self.host.id, address, "linked", 1, 0.5, 1, 0, {}, summary=summary)]

    async def way_in(self, identity: DeviceIdentity | None = None) -> str:
        """Return what `lucidnode dashboard --node` prints for whoever has the key *identity*."""
        visits = Visits(identity or self.guest, lambda: b"studio", self.peers, SystemClock())
        way = await visits.way_in(self.host.id)
        assert way.pin == self.pin
        return way.url

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        clock = SystemClock()
        async with supervised(self.scene.alerts, clock) as tasks:
            server = ColleagueServer(
                self.port,
                context=self.tls,
                opened=lambda: Opened(b"studio", self.host.id, self.pin),
                roster=lambda: self.roster,
                metrics_token=METRICS,
                admits=lambda _: True,
                alerts=self.scene.alerts,
                clock=self.clock,
                tasks=tasks,
                memory=MemoryBudget(1 << 29),
                connections=16,
            )
            async with server.serving(self.scene.shown(), self.scene.metrics.text):
                yield

    def put_out_guest(self) -> None:
        self.roster = replace(self.roster, devices={self.host.id: device_of(self.host)})


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@contextlib.asynccontextmanager
async def browser_of(office: Office) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a client that takes the pinned certificate alone, and keeps cookies as a browser does."""
    pinned = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(office.pin))
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        f"https://127.0.0.1:{office.port}", connector=pinned, cookie_jar=jar
    ) as session:
        yield session


async def trusting(office: Office) -> str:
    """Return the flag with which Chromium takes the key of the certificate there, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", office.port, ssl=context)
    shown = x509.load_der_x509_certificate(
        writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    )
    writer.close()
    key = shown.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    return f"--ignore-certificate-errors-spki-list={pin}"


async def status(session: aiohttp.ClientSession, path: str, **options: object) -> int:
    async with session.get(path, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]
        return answer.status


@pytest.mark.slow
async def test_a_member_sees_a_colleagues_page_and_has_nothing_to_press(office: Office) -> None:
    office.scene.conflicts = [SECRET]
    office.scene.uploads = FixedUploads(600, 6 * GB, 3.0, 0.1 * GB)
    async with (
        office.serving(),
        chromium.opened(await office.way_in(), await trusting(office)) as page,
    ):
        await page.until("document.body?.dataset.ready === 'yes'")
        assert await page.value("location.href") == f"https://127.0.0.1:{office.port}/"
        assert await page.value("document.cookie") == ""  # no script has the session
        assert await page.value("document.querySelector('#mounts b').textContent") == "demo"
        await page.until("document.querySelectorAll('#conflicts tbody tr').length === 1")
        assert await page.value("document.querySelectorAll('#conflicts button').length") == 0
        assert "/home" not in await page.value("document.body.textContent")
        # In the second in which his member is put out he sees nothing more.
        office.put_out_guest()
        said = "document.getElementById('connection').textContent"
        await page.until(f"{said}.includes('does not answer')")
        hosts = {url.split("/")[2] for url in page.requests if "://" in url}
        assert hosts == {f"127.0.0.1:{office.port}"}


async def test_without_a_login_a_browser_is_told_how_to_come_in_and_nothing_else(
    office: Office,
) -> None:
    async with office.serving(), browser_of(office) as session:
        for path in (
            "/",
            "/page.js",
            "/facts",
            "/live",
            "/history?span=day",
            "/metrics",
            "/nowhere",
        ):
            async with session.get(path) as answer:
                assert answer.status == 403
                assert answer.headers["Server"] == "lucidnode"
                assert len(await answer.text()) < 300
        async with session.get("/") as answer:
            assert "lucidnode dashboard --node NAME" in await answer.text()


async def test_a_login_is_good_once_and_for_members_alone(office: Office, tmp_path: Path) -> None:
    stranger = DeviceIdentity.create(tmp_path / "stranger.pem")
    async with office.serving():
        way = await office.way_in()
        path = way.removeprefix(f"https://127.0.0.1:{office.port}")
        async with browser_of(office) as session:
            assert await status(session, path) == 303
            assert await status(session, "/facts") == 200
            [cookie] = session.cookie_jar
            assert cookie.key.startswith("__Host-")
            assert cookie["secure"]
            assert cookie["httponly"]
            assert cookie["samesite"] == "Strict"
            foreign = {"Origin": "https://evil.example"}
            assert await status(session, "/live", headers=foreign) == 403
            own = {"Origin": f"https://127.0.0.1:{office.port}", "Content-Type": "application/json"}
            async with session.post("/conflicts", data=b"{}", headers=own) as answer:
                assert answer.status == 403
            assert await status(session, f"/changes?project={'e' * 32}&reader={'0' * 16}") == 503
            async with browser_of(office) as another:
                assert await status(another, path) == 403  # used
                login = (await office.way_in(stranger)).partition("login=")[2]
                assert await status(another, f"/?login={login}") == 403
            assert await status(session, "/facts") == 200
            office.put_out_guest()
            assert await status(session, "/facts") == 403
        async with browser_of(office) as session:
            login = (await office.way_in()).partition("login=")[2]
            assert await status(session, f"/?login={login}") == 403
            assert len(session.cookie_jar) == 0


async def test_a_login_that_is_altered_opens_nothing(
    office: Office,
) -> None:
    async with office.serving(), browser_of(office) as session:
        login = (await office.way_in()).partition("login=")[2]
        for place in (0, 30, 60, 138):
            other = "A" if login[place] != "A" else "B"
            altered = login[:place] + other + login[place + 1 :]
            assert await status(session, f"/?login={altered}") == 403
        assert await status(session, "/?login=") == 403
        assert await status(session, f"/?login={login}") == 303


async def test_a_login_ends_after_minutes_and_a_visit_after_a_day_of_work(office: Office) -> None:
    async with office.serving(), browser_of(office) as session:
        login = (await office.way_in()).partition("login=")[2]
        office.clock.ahead_s = LOGIN_S + 5
        assert await status(session, f"/?login={login}") == 403
        office.clock.ahead_s = 0.0
        assert await status(session, f"/?login={login}") == 303
        office.clock.ahead_s = SESSION_S - 60
        assert await status(session, "/facts") == 200
        office.clock.ahead_s = SESSION_S + 60
        assert await status(session, "/facts") == 403


async def test_a_scraper_elsewhere_gets_the_metrics_and_nothing_else(office: Office) -> None:
    async with office.serving(), browser_of(office) as session:
        bearer = {"Authorization": f"Bearer {METRICS}"}
        async with session.get("/metrics", headers=bearer) as answer:
            assert answer.status == 200
            assert "lucidnode_" in await answer.text()
        for path in ("/", "/facts"):
            assert await status(session, path, headers=bearer) == 403


async def test_no_way_in_is_made_where_somebody_else_answers_or_nobody(office: Office) -> None:
    with pytest.raises(Unavailable, match="firewall"):
        await office.way_in()
    office.told_port = 0
    with pytest.raises(Refused, match=r"dashboard\.listen"):
        await office.way_in()
    office.told_port = office.port
    async with office.serving():
        office.pin = b"x" * 32
        with pytest.raises(Refused, match="somebody stands between"):
            await office.way_in()
    visits = Visits(office.guest, lambda: b"studio", list, SystemClock())
    with pytest.raises(NotThere):
        await visits.way_in(DeviceId("e" * 32))


async def test_a_taken_port_is_an_alert_and_no_daemon_stays_away_for_it(
    office: Office, expected_warnings: list[str]
) -> None:
    expected_warnings.append("for colleagues' browsers is taken")
    with socket.create_server(("", office.port), family=socket.AF_INET6, dualstack_ipv6=True):
        async with office.serving():
            [alert] = office.scene.alerts.current()
            assert "dashboard.listen" in alert.remedy


async def test_a_browser_that_says_nothing_at_the_end_keeps_no_connection(office: Office) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def came_in() -> tuple[socket.socket, ssl.SSLObject]:
        raw = socket.create_connection(("127.0.0.1", office.port))
        raw.settimeout(10)
        came, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(came, going)
        while True:
            try:
                inside.do_handshake()
            except ssl.SSLWantReadError:
                raw.sendall(going.read())
                came.write(raw.recv(1 << 16))
            else:
                break
        shown = f"Authorization: Bearer {METRICS}\r\n"
        inside.write(f"GET /metrics HTTP/1.1\r\nHost: here\r\n{shown}\r\n".encode())
        raw.sendall(going.read())
        raw.recv(1 << 16)
        return raw, inside

    async with office.serving():
        raw, _inside = await asyncio.to_thread(came_in)
    # Below TLS it is over as well, though nothing of ours has answered the goodbye.
    with raw, contextlib.suppress(ConnectionResetError):
        while await asyncio.to_thread(raw.recv, 1 << 16):
            pass
