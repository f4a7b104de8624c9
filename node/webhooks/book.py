"""Which webhooks this workstation has, and how far each is: on its disk, across restarts."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path

import msgspec
from yarl import URL

from lucidnode.node import sealed_file
from lucidnode.node.client.errors import Malformed, NotThere, Refused
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.json_text import json_in

BOOK_FILE = "webhooks.json"
"""In the home, sealed: it has the secrets."""

SECRET_FILE = "webhook.secret"  # noqa: S105  # its name
"""In the home: what signs what is told to those of node.json, to be given to them."""


class Webhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One receiver. *project* is None for all that are mounted here.

    With *paths* it is told names. *only_own* leaves out what other workstations commit.
    """

    id: str
    url: str
    secret: str
    project: ProjectId | None = None
    paths: bool = False
    only_own: bool = False


class TakenUpTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a receiver has taken: all up to entry *after*, and *told* events of the next one."""

    after: int
    told: int


class _Pages(msgspec.Struct, forbid_unknown_fields=True):
    webhooks: list[Webhook] = []
    places: dict[str, dict[ProjectId, TakenUpTo]] = {}


class WebhookBook:
    """The webhooks of this workstation alone: those in *path*, and those *configured* in node.json.

    Earlier versions put all of them there; new ones are in the logs of their projects. Here they stay until
    they are removed.

    Every change is on the disk on return, whole or not at all: blocking, raises DiskFull, OSError.
    """

    def __init__(self, path: Path, configured: Sequence[str], configured_secret: str) -> None:
        """Read it. Raises Locked, and Refused if it is damaged."""
        self._path = path
        self._configured = [
            Webhook(_id_of(url), url, configured_secret, only_own=True) for url in configured
        ]
        try:
            self._pages = json_in(sealed_file.read(path), _Pages)
        except FileNotFoundError:
            self._pages = _Pages()
        except Malformed as error:
            raise Refused(
                f"{path} is damaged: mend it, or delete it and add the webhooks again"
            ) from error

    def webhooks(self) -> list[Webhook]:
        """Return all of them, those of node.json first."""
        return [*self._configured, *self._pages.webhooks]

    def webhook(self, ident: str) -> Webhook:
        """Return the one with the id *ident*. Raises NotThere."""
        for webhook in self.webhooks():
            if webhook.id == ident:
                return webhook
        raise NotThere(f"there is no webhook {ident}: `lucidnode webhook list` shows them")

    def remove(self, ident: str) -> None:
        """Take one away, with its places. Raises NotThere, and Refused for one of node.json."""
        webhook = self.webhook(ident)
        if webhook in self._configured:
            raise Refused("this one is in `webhooks` of node.json: take it out there, and restart")
        self._pages.webhooks.remove(webhook)
        self._pages.places.pop(ident, None)
        self._write()

    def place(self, ident: str, project: ProjectId) -> TakenUpTo | None:
        """Return how far the webhook *ident* is with *project*; None if it has not begun."""
        return self._pages.places.get(ident, {}).get(project)

    def took(self, ident: str, project: ProjectId, place: TakenUpTo) -> None:
        """Note how far it is, unless it was removed meanwhile."""
        if any(webhook.id == ident for webhook in self.webhooks()):
            self._pages.places.setdefault(ident, {})[project] = place
            self._write()

    def _write(self) -> None:
        sealed_file.write(self._path, msgspec.json.format(msgspec.json.encode(self._pages)))


def check_url(url: str, *, paths: bool) -> None:
    """Raise Refused, a sentence, if *url* cannot be a receiver, or must not be told *paths*."""
    try:
        parsed = URL(url)
    except ValueError:
        raise Refused(f"{url} is no address of a receiver: say https://HOST/PATH") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Refused(f"{url} is no address of a receiver: say https://HOST/PATH")
    if parsed.user or parsed.password:
        raise Refused(
            "an address with a password in it ends in logs: the signature says who we are"
        )
    if paths and parsed.scheme == "http" and not _is_here(parsed.host):
        raise Refused("paths go to other machines encrypted only: say https://")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _id_of(url: str) -> str:
    return blake2b(url.encode(), digest_size=4).hexdigest()
