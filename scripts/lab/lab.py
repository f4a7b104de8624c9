"""A lab as a whole: made, asked, damaged, repaired, removed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import psutil

from lab.errors import LabError
from lab.free_ports import free_ports
from lab.hostile_control import State, give_order
from lab.loopback import Loopback
from lab.mounts import mounted_below, unmount_below
from lab.namespaces import WAN, Namespaces
from lab.network import CLOUD, SWITCH, Network
from lab.patience import until
from lab.places import SCRIPTS, Places
from lab.private_ca import make_authority
from lab.process import Process
from lab.record import NodeRecord, Plan, Record, Status, load_record, save_record
from lab.seaweed import await_seaweed, choose_ports, sockets, start_seaweed
from lab.workstation import Workstation, environment

_BUCKET = "studio"
_PROXY_PORT = 8444
"""Of the hostile proxy, in the cloud's namespace."""

_MAX_NODES = 12

Say = Callable[[str], None]
"""Tells a person what is going on."""


class Lab:
    """A lab that is up. Get one from `make` or `open_lab`."""

    def __init__(self, places: Places, record: Record, network: Network) -> None:
        self.places = places
        self.record = record
        self.network = network
        self.workstations = {node.name: Workstation(node, places, network) for node in record.nodes}
        self._saving = threading.Lock()

    # -- what is ------------------------------------------------------------------------------

    def status(self) -> Status:
        """Return what runs where."""
        return Status(
            nodes=[each.status() for each in self.workstations.values()],
            s3=self.record.s3,
            name=self.record.name,
            bucket_url=self.record.bucket_url,
            switch=self.network.namespace(SWITCH),
        )

    def workstation(self, name: str) -> Workstation:
        """Return the workstation called *name*. Raises LabError with the names there are."""
        return self.workstations[self.record.node(name).name]

    def inside(self, place: str) -> tuple[list[str], dict[str, str]]:
        """Return the prefix and the environment of a command to run in *place*."""
        if place in {SWITCH, CLOUD}:
            return self.network.entering(place), environment(self.places)
        return self.network.entering(place), self.workstation(place).environment()

    # -- what happens to it -------------------------------------------------------------------

    def cut(self, name: str) -> None:
        """Take the workstation off the LAN, silently. On loopback its daemon is frozen instead."""
        station = self.workstation(name)
        if self.record.plan.namespaces:
            self.network.cut(name)
        elif station.record.daemon is not None:
            station.record.daemon.signal(signal.SIGSTOP)
        station.record.connected = False
        self.save()

    def heal(self, name: str) -> None:
        """Undo `cut`."""
        station = self.workstation(name)
        if self.record.plan.namespaces:
            self.network.heal(name)
        elif station.record.daemon is not None:
            station.record.daemon.signal(signal.SIGCONT)
        station.record.connected = True
        self.save()

    def kill(self, name: str) -> None:
        """Kill daemon and mount of the workstation, as a power cut would."""
        self.workstation(name).kill()
        self.save()

    def restart(self, name: str) -> None:
        """Stop what still runs of the workstation, in order, and start it again."""
        station = self.workstation(name)
        station.stop()
        self.start(station)

    def start(self, station: Workstation) -> None:
        """Start daemon and mount of *station*."""
        self.start_daemon(station)
        station.start_mount()
        self.save()

    def start_daemon(self, station: Workstation) -> None:
        """Start the daemon of *station* and note where its dashboard is."""
        station.start_daemon()
        self.save()
        station.record.dashboard = station.facts("status")["addresses"]["dashboard"].rstrip("/")
        self.save()

    def await_peers(self) -> None:
        """Return once every workstation talks to every other in its VLAN."""
        vlans, nodes = self.record.plan.vlans, len(self.workstations)
        for number, station in enumerate(self.workstations.values()):
            others = len(range(number % vlans, nodes, vlans)) - 1
            until(
                partial(station.talks_to, others),
                within=90,
                what=f"{station.name} did not find its {others} peers",
            )

    def set_rules(self, rules: Sequence[str] | None) -> State:
        """Put *rules* in force at the hostile proxy, or only ask it. Raises LabError."""
        return give_order(self.places.control, rules)

    def save(self) -> None:
        """Write the record."""
        with self._saving:
            save_record(self.places.record, self.record)


def open_lab(name: str) -> Lab:
    """Return the lab called *name*. Raises LabError when it is not up."""
    places = Places.of(name)
    record = load_record(places.record)
    if record is None:
        raise LabError(f"lab {name!r} is not up; start it with `scripts/lan up`")
    return Lab(places, record, _network(name, record.plan))


def make(name: str, plan: Plan, say: Say) -> Lab:
    """Bring up a lab as *plan* says. On any error nothing of it is left."""
    places = Places.of(name)
    with places.locked():
        if places.root.exists():
            raise LabError(f"lab {name!r} is up, or left over; `scripts/lan down` removes it")
        _check(plan)
        try:
            return _raise_lab(places, plan, say)
        except BaseException:
            _remove(places)
            raise


def remove(name: str) -> bool:
    """Remove the lab called *name*, whatever is left of it; returns whether there was anything."""
    places = Places.of(name)
    with places.locked():
        there = places.root.exists() or _network_left(name).exists()
        _remove(places)
    return there


# -- bringing up ----------------------------------------------------------------------------------


def _check(plan: Plan) -> None:
    if not 1 <= plan.nodes <= _MAX_NODES:
        raise LabError(f"a lab has 1 to {_MAX_NODES} workstations, not {plan.nodes}")
    if plan.namespaces and os.geteuid() != 0:
        raise LabError("network namespaces need root: use sudo, or --loopback to do without")
    if plan.namespaces and not Path("/dev/net/tun").exists():
        raise LabError("/dev/net/tun is missing: `modprobe tun` first, or use --loopback")
    if not plan.namespaces and (plan.wan_mbit or plan.wan_ms):
        raise LabError("loopback has neither rate nor latency: leave out --wan-mbit and --wan-ms")
    if plan.hostile and plan.bucket != "s3":
        raise LabError("a hostile proxy stands before an S3 server: leave out --bucket file")
    if plan.wan_mbit is not None and not 0.5 <= plan.wan_mbit <= 40_000:
        raise LabError("--wan-mbit takes 0.5 to 40000")
    if not 0 <= plan.wan_ms <= 2000:
        raise LabError("--wan-ms takes 0 to 2000")


def _raise_lab(places: Places, plan: Plan, say: Say) -> Lab:
    for directory in (places.root, places.tickets, places.log("any").parent):
        directory.mkdir(mode=0o700)
    if plan.allow_other:
        # Through, not in: what is below is closed by its own modes.
        for directory in (places.root.parent, places.root):
            directory.chmod(0o711)
    network = _network(places.name, plan)
    names = [chr(ord("a") + number) for number in range(plan.nodes)]
    say("network")
    network.build(names)
    record = Record(name=places.name, plan=plan, bucket_url="")
    record.nodes = [NodeRecord(name, network.address(name)) for name in names]
    if not plan.namespaces:
        _name_each_other(record.nodes)
    if plan.allow_other:
        for node in record.nodes:
            node.mount_args = ["--allow-other"]
            places.node(node.name).mkdir(mode=0o711)
    lab = Lab(places, record, network)
    lab.save()

    say("cloud")
    founding = _raise_cloud(lab)
    say("studio")
    dashboard_port = 8440 if plan.namespaces else 0
    founder, *others = lab.workstations.values()
    founder.enrol(founding, dashboard_port=dashboard_port)
    lab.start_daemon(founder)
    founder.found([each.name for each in others], plan.block_size)

    def follow(station: Workstation) -> None:
        if station is not founder:
            station.enrol({}, dashboard_port=dashboard_port)
            lab.start_daemon(station)
        station.start_mount()
        lab.save()

    say("workstations")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(follow, lab.workstations.values()))
    say("peers")
    lab.await_peers()
    return lab


def _raise_cloud(lab: Lab) -> dict[str, str]:
    """Start what lies beyond the office; returns the founder's settings for its bucket."""
    record, places, network = lab.record, lab.places, lab.network
    if record.plan.bucket == "file":
        record.bucket_url = f"file://{places.root / 'bucket'}"
        lab.save()
        return {"LUCIDNODE_BUCKET": record.bucket_url}
    env = environment(places)
    if record.plan.namespaces:
        ends = [str(network.namespace(SWITCH)), str(network.namespace(CLOUD))]
        record.cloud["relay"] = Process.start(
            ["python", "-P", "-m", "lab.wan_relay", *ends, WAN, str(record.plan.wan_ms / 2)],
            log=places.log("relay"),
            env={**env, "PYTHONPATH": str(SCRIPTS)},
        )
    record.s3_ports = ports = choose_ports(network)
    lab.save()
    record.s3, record.cloud["s3"] = start_seaweed(network, places, env, ports, bucket=_BUCKET)
    record.bucket_url = f"s3://{_BUCKET}/lab"
    lab.save()
    await_seaweed(network, places, record.s3, record.cloud["s3"])
    if record.plan.hostile:
        _raise_proxy(lab)
    return {
        "LUCIDNODE_BUCKET": record.bucket_url,
        "LUCIDNODE_ENDPOINT": record.s3.endpoint,
        "AWS_ACCESS_KEY_ID": record.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": record.s3.secret_key,
        "AWS_REGION": "us-east-1",
    }


def _raise_proxy(lab: Lab) -> None:
    """Put the hostile proxy before the bucket server: its endpoint is the one that clients get."""
    record, places, network = lab.record, lab.places, lab.network
    assert record.s3 is not None
    address = network.address(CLOUD)
    port = _PROXY_PORT if record.plan.namespaces else free_ports(1)[0]
    arguments = [
        f"--listen={address}:{port}",
        f"--store={record.s3.endpoint.removeprefix('http://')}",
        f"--control={places.control}",
        *(f"--client={node.address}={node.name}" for node in record.nodes),
    ]
    if record.plan.https:
        make_authority(places.tls, address)
        arguments.append(f"--tls={places.tls}")
    record.cloud["proxy"] = Process.start(
        [*network.entering(CLOUD), "python", "-P", "-m", "lab.hostile_proxy", *arguments],
        log=places.log("proxy"),
        env={**environment(places), "PYTHONPATH": str(SCRIPTS)},
    )
    scheme = "https" if record.plan.https else "http"
    record.s3 = msgspec.structs.replace(record.s3, endpoint=f"{scheme}://{address}:{port}")
    lab.save()
    until(places.control.exists, within=90, what="the hostile proxy does not start")


def _name_each_other(nodes: list[NodeRecord]) -> None:
    """Give each node a control port and the addresses of the others: loopback has no multicast."""
    ports = free_ports(len(nodes))
    for node, port in zip(nodes, ports, strict=True):
        others = [f"--peer={node.address}:{other}" for other in ports if other != port]
        node.daemon_args = ["--no-mdns", f"--port={port}", *others]


def _network(name: str, plan: Plan) -> Network:
    if not plan.namespaces:
        return Loopback()
    return Namespaces(name, wan_mbit=plan.wan_mbit, vlans=plan.vlans)


# -- taking down ----------------------------------------------------------------------------------


def _remove(places: Places) -> None:
    """Remove everything of the lab. Works from whatever state a crash has left."""
    network = _network_left(places.name)
    # The data goes as well, so nothing needs an orderly end. Twice: what is killed may have been
    # starting something.
    for _ in range(2):
        for process in _inhabitants(places, network):
            process.kill()
    unmount_below(places.root)
    network.destroy()
    for path in _sockets_left(places):
        path.unlink(missing_ok=True)
    if places.root.exists():
        # Never follow a mount: behind it is a bucket.
        assert not mounted_below(places.root)
        shutil.rmtree(places.root)


def _network_left(name: str) -> Network:
    # Asked of the kernel, not of the record: that may be lost.
    return _network(name, Plan(nodes=1, namespaces=os.geteuid() == 0))


def _sockets_left(places: Places) -> list[Path]:
    """Return what the killed bucket server has left outside the lab's directory."""
    try:
        record = load_record(places.record)
    except LabError:
        return []
    return sockets(record.s3_ports) if record and record.s3_ports else []


def _inhabitants(places: Places, network: Network) -> list[Process]:
    """Return the processes of this lab: marked by it at their start, or living in its network.

    The record is not asked: it misses what was started just before a crash.
    """
    found = []
    # Whoever takes the lab down from a shell inside it keeps the shell.
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in spared:
            continue
        try:
            process = Process.of(int(entry.name))
            marked = places.is_marked((entry / "environ").read_bytes())
        except OSError:
            # It has ended, or belongs to somebody else.
            continue
        if marked or network.holds(process.pid):
            found.append(process)
    return found
