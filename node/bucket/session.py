"""The door to boto3: where credentials come from when nobody gave any, and their renewal."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from lucidnode.node.bucket.credentials import Credentials, CredentialSource
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import AccessDenied

_ISSUER = "https://sts.amazonaws.com"
"""Stands for all that gives out credentials, where a proxy is decided on."""

_HINT = "give an access key and its secret"


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
    """What boto3 finds on this machine; it renews them before they expire."""

    is_ambient = True

    def __init__(self, network: Network) -> None:
        self._network = network
        # One thread: boto3 sessions are not for several, and a program that hangs holds no more.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="credentials")
        self._session: boto3.Session | None = None
        self._bundle: int | None = None

    async def __call__(self) -> Credentials:
        """Return them. Raises AccessDenied, a sentence for a person."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
        except (BotoCoreError, OSError, ValueError, KeyError) as error:
            # The last three come of programs and files that people write (`credential_process`).
            what = type(error).__name__
            raise AccessDenied(
                f"The credentials of this machine cannot be had ({what})", _HINT
            ) from error
        if found is None:
            raise AccessDenied("There are no credentials for the bucket on this machine", _HINT)
        return found

    def _fetch(self) -> Credentials | None:
        self._session = self._session or self._opened()
        found = self._session.get_credentials()
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _opened(self) -> boto3.Session:
        """Return a session that trusts whom we trust, and goes through the proxy we go through."""
        core = botocore.session.Session()
        # botocore takes a path: a file in memory, which nobody has to remove.
        self._bundle = os.memfd_create("authorities")
        with os.fdopen(self._bundle, "wb", closefd=False) as file:
            file.write(self._network.bundle())
        core.set_config_variable("ca_bundle", f"/proc/self/fd/{self._bundle}")
        proxy = self._network.proxies.for_url(_ISSUER)
        core.set_default_client_config(
            Config(
                connect_timeout=5,
                read_timeout=15,
                proxies={"https": proxy, "http": proxy} if proxy else {},
            )
        )
        return boto3.Session(botocore_session=core)

    def __del__(self) -> None:
        self._thread.shutdown(wait=False)
        if self._bundle is not None:
            os.close(self._bundle)
