"""What a kind of store brings along: its URL, what is done once, and the engine for its objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import SplitResult

from lucidnode.node.bucket.address import BucketAddress
from lucidnode.node.bucket.bucket import Engine
from lucidnode.node.bucket.credentials import CredentialSource
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.clock import Clock

_Address = TypeVar("_Address", bound=BucketAddress)


class Prepare(Protocol[_Address]):
    """What is done once to a bucket as a whole."""

    async def __call__(
        self, address: _Address, credentials: CredentialSource, network: Network, /, *, create: bool
    ) -> _Address:
        """Make sure that the bucket is there and ours to use; return the address to remember.

        With *create* a missing one is made, where the store lets us. Raises WrongBucket,
        AccessDenied or Unavailable, each one sentence for a person.
        """


@dataclass(frozen=True, slots=True)
class Store(Generic[_Address]):
    """A kind of store. `stores` lists them by the scheme of their URLs."""

    url_form: str
    """How a person writes its URL."""

    parse: Callable[[SplitResult, str | None, str | None], _Address]
    """Takes the parts of the URL, the endpoint and the region that were given. Raises Malformed."""

    prepare: Prepare[_Address]

    engine: Callable[[_Address, CredentialSource, Network, Clock], Engine]
    """Asks nothing of the store yet, and leaves nothing to close."""
