"""Where credentials come from: those that were given, or those of the machine."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lucidnode.node.bucket.credentials import Credentials, CredentialSource
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import AccessDenied

if TYPE_CHECKING:
    from lucidnode.node.bucket.machine_credentials import MachineCredentials


def credential_source(credentials: Credentials | None, network: Network) -> CredentialSource:
    """Return what is asked for credentials before every request.

    None stands for those of the machine: environment, profile, container or instance. They are
    looked for when first needed, so a missing one shows as AccessDenied of a request.
    """
    if credentials is None:
        return AmbientCredentials(network)
    return FixedCredentials(credentials)


class FixedCredentials:
    """The same credentials, always."""

    is_ambient = False

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def __call__(self) -> Credentials:
        return self._credentials


class CurrentCredentials:
    """Those that a daemon uses now: others can take their place between two requests."""

    def __init__(self, credentials: Credentials | None, network: Network) -> None:
        self._network = network
        self.use(credentials)

    def use(self, credentials: Credentials | None) -> None:
        """Sign with these from now on; None stands for the machine's own."""
        self._source = credential_source(credentials, self._network)

    @property
    def is_ambient(self) -> bool:
        return self._source.is_ambient

    async def __call__(self) -> Credentials:
        return await self._source()


class AmbientCredentials:
    """What boto3 finds on this machine. It is loaded when first asked: most studios give keys."""

    is_ambient = True

    def __init__(self, network: Network) -> None:
        self._network = network
        # One thread: boto3 sessions are not for several, and a program that hangs holds no more.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="credentials")
        self._machine: MachineCredentials | None = None

    async def __call__(self) -> Credentials:
        """Return them. Raises AccessDenied, a sentence for a person."""
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
        if found is None:
            raise AccessDenied(
                "There are no credentials for the bucket on this machine",
                "give an access key and its secret",
            )
        return found

    def _fetch(self) -> Credentials | None:
        from lucidnode.node.bucket.machine_credentials import (  # noqa: PLC0415  # 0.25 s and 20 MB
            MachineCredentials,
        )

        self._machine = self._machine or MachineCredentials(self._network)
        return self._machine.fetch()

    def __del__(self) -> None:
        self._thread.shutdown(wait=False)
