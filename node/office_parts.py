"""How the parts of the daemon are built that find, ask and serve the others of its office."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

from lucidnode.discovery.advert import Advert
from lucidnode.discovery.interfaces import Interface, interfaces
from lucidnode.discovery.mdns import Mdns
from lucidnode.discovery.ring import weight_of
from lucidnode.node.client import mount_messages
from lucidnode.node.config import USUAL_BODY_PORT, USUAL_CONTROL_PORT, lan_key_of
from lucidnode.node.node_context import NodeContext
from lucidnode.node.peer_events import Announcements
from lucidnode.node.peers.instances import Instances
from lucidnode.node.peers.network import PeerNetwork, PeerSettings
from lucidnode.node.peers.own_instance import OwnInstance
from lucidnode.node.peers.rendezvous import Rendezvous, connect_time
from lucidnode.node.quiet import Quiet
from lucidnode.node.roster.service import RosterService
from lucidnode.node.store_parts import StudioBucket


def quiet(context: NodeContext) -> Quiet:
    """Return who knows whether this workstation should do for its own programs only."""
    settings = context.settings
    return Quiet(
        lambda: settings.config.quiet_on_battery,
        lambda: settings.config.quiet_on_metered,
        context.clock,
    )


def near_interfaces(context: NodeContext) -> tuple[Interface, ...]:
    """Return the interfaces over which others of the office may find and reach this workstation."""
    return interfaces(context.config.interfaces)


def near(context: NodeContext) -> Callable[[str], bool]:
    """Return what tells of an address of ours whether others of the office are heard there."""
    if not context.config.interfaces:
        return lambda _: True

    def admits(address: str) -> bool:
        here = near_interfaces(context)
        return address in {"127.0.0.1", "::1", *(str(on.ip) for i in here for on in i.addresses)}

    return admits


def own_instance(context: NodeContext) -> OwnInstance:
    """Return who knows of others that work with this workstation's device key."""
    mounts = context.mounts
    return OwnInstance(
        lambda host: mounts.tell_all(mount_messages.CopyMet(host)), context.alerts, context.clock
    )


def peer_network(
    context: NodeContext, own: OwnInstance, roster: RosterService, quiet: Quiet
) -> PeerNetwork:
    """Return the office, which listens and dials once it is opened."""
    config, limit = context.config, context.room.limit
    return PeerNetwork(
        identity=context.identity,
        lan_key=lan_key_of(context.home, config),
        instance=own,
        members=roster,
        settings=PeerSettings(
            weight=weight_of(limit),
            control_port=config.control_port,
            body_port=config.body_port,
            usual_ports=(USUAL_CONTROL_PORT, USUAL_BODY_PORT),
            connections=context.connections,
            offers_bytes=limit // 4,
            serves=config.part == "serve",
            asks=config.part != "off",
            encrypt=config.lan_encrypt == "all",
        ),
        traffic=context.metrics,
        alerts=context.alerts,
        memory=context.memory,
        clock=context.clock,
        jitter=context.jitter,
        upload_limit=lambda: context.settings.config.office_upload_limit,
        is_quiet=lambda: bool(quiet.reason),
        admits=near(context),
    )


def rendezvous(
    context: NodeContext, store: StudioBucket, office: PeerNetwork, roster: RosterService
) -> Rendezvous:
    """Return who finds workstations that multicast does not reach."""

    def addresses() -> list[str]:
        return [str(on.ip) for each in near_interfaces(context) for on in each.addresses]

    return Rendezvous(
        bucket=store.bucket,
        lan_key=lan_key_of(context.home, context.config),
        me=context.identity.id,
        sign=context.identity.sign,
        random_bytes=secrets.token_bytes,
        addresses=addresses,
        port=lambda: office.control_port,
        device_key=roster.device_key,
        peers=office,
        distance=connect_time,
        clock=context.clock,
        announces=context.config.part == "serve",
    )


def instances(context: NodeContext, store: StudioBucket, own: OwnInstance) -> Instances:
    """Return who finds another daemon with this workstation's device key, wherever it is."""
    return Instances(
        bucket=store.bucket,
        me=context.identity.id,
        device_key=context.identity.public,
        instance=own.id,
        sign=context.identity.sign,
        met=own.meet,
        clock=context.clock,
    )


async def find_peers(context: NodeContext, office: PeerNetwork, roster: RosterService) -> None:
    """Announce this node on the LAN and dial others of the studio, until cancelled."""
    own = Advert(
        device=context.identity.id,
        control_port=office.control_port,
        weight=weight_of(context.room.limit),
    )
    listener = Announcements(office, roster)
    await Mdns(
        lan_key=lan_key_of(context.home, context.config),
        own=own,
        listener=listener,
        here=partial(near_interfaces, context),
        announces=context.config.part == "serve",
    ).run()
