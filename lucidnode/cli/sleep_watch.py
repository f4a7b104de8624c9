"""Does something before this machine sleeps: logind waits for it. The door to jeepney.

logind (org.freedesktop.login1) holds a sleep up for whoever has taken a delay inhibitor, for five
seconds by default (`InhibitDelayMaxSec=`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from jeepney import DBusAddress, HeaderFields, MatchRule, message_bus, new_method_call
from jeepney.fds import FileDescriptor
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection
from jeepney.wrappers import unwrap_msg

from lucidnode.node.client.supervision import outside

log = logging.getLogger(__name__)

_LOGIND = "org.freedesktop.login1"
_MANAGER = DBusAddress("/org/freedesktop/login1", _LOGIND, f"{_LOGIND}.Manager")
_SLEEPS = "PrepareForSleep"

_ANSWER_S = 5.0
_LOOK_S = 5.0


class LogindAway(Exception):
    """logind cannot be asked now; in words for a log."""


def watch(before: Callable[[], None], is_wanted: Callable[[], bool]) -> None:
    """Call *before* each time before the machine sleeps, from a thread of its own, while it *is_wanted*.

    That is asked every few seconds.
    """
    threading.Thread(target=_watch, args=(before, is_wanted), name="sleep", daemon=True).start()


def _watch(before: Callable[[], None], is_wanted: Callable[[], bool]) -> None:
    said = ""
    while True:
        try:
            if is_wanted():
                for _ in sleeps(is_wanted):
                    before()
        except LogindAway as error:
            if str(error) != said:
                said = str(error)
                log.warning("this workstation is not locked before it sleeps: %s", said)
        time.sleep(_LOOK_S)  # noqa: TID251  # a thread of its own


def sleeps(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Yield before each sleep, which begins when the next one is asked for, while it *is_wanted*.

    Raises LogindAway.
    """
    rule = MatchRule(type="signal", sender=_LOGIND, interface=_MANAGER.interface, member=_SLEEPS)
    with (
        outside(LogindAway),
        contextlib.closing(open_dbus_connection("SYSTEM", enable_fds=True)) as bus,
        bus.filter(MatchRule(type="signal", member=_SLEEPS), queue=deque()) as found,
        contextlib.ExitStack() as held_up,
    ):
        Proxy(message_bus, bus, timeout=_ANSWER_S).AddMatch(rule)
        held_up.callback(_inhibitor(bus).close)
        while is_wanted():
            try:
                said = bus.recv_until_filtered(found, timeout=_LOOK_S)
            except TimeoutError:
                continue
            if said.header.fields.get(HeaderFields.sender) != _owner(bus):
                continue  # anybody may send us a signal
            if said.body[0]:
                yield
            held_up.close()
            if not said.body[0]:
                held_up.callback(_inhibitor(bus).close)


def _inhibitor(bus: DBusConnection) -> FileDescriptor:
    """Return what holds a sleep up until it is closed."""
    why = ("sleep", "Lucidnode", "the keys of this workstation are locked first", "delay")
    call = new_method_call(_MANAGER, "Inhibit", "ssss", why)
    inhibitor: FileDescriptor = unwrap_msg(bus.send_and_get_reply(call, timeout=_ANSWER_S))[0]
    return inhibitor


def _owner(bus: DBusConnection) -> str:
    """Return who is logind on the bus."""
    owner: str = Proxy(message_bus, bus, timeout=_ANSWER_S).GetNameOwner(_LOGIND)[0]
    return owner
