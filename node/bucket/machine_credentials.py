"""The door to boto3: credentials that it finds on this machine, and their renewal."""

from __future__ import annotations

import os

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from lucidnode.node.bucket.credentials import Credentials
from lucidnode.node.bucket.network import Network
from lucidnode.node.client.errors import AccessDenied

_ISSUER = "https://sts.amazonaws.com"
"""Stands for all that gives out credentials, where a proxy is decided on."""


class MachineCredentials:
    """Environment, profile, container or instance. Use it from one thread; it blocks."""

    def __init__(self, network: Network) -> None:
        """They are looked for trusting whom *network* trusts, and through its proxy."""
        self._network = network
        self._session: boto3.Session | None = None
        self._bundle: int | None = None

    def fetch(self) -> Credentials | None:
        """Return those that are valid now; None if there are none. Raises AccessDenied."""
        try:
            self._session = self._session or self._opened()
            found = self._session.get_credentials()
            frozen = found and found.get_frozen_credentials()
        except (BotoCoreError, OSError, ValueError, KeyError) as error:
            # The last three come of programs and files that people write (`credential_process`).
            what = type(error).__name__
            raise AccessDenied(
                f"The credentials of this machine cannot be had ({what})",
                "give an access key and its secret",
            ) from error
        if not frozen:
            return None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _opened(self) -> boto3.Session:
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
        if self._bundle is not None:
            os.close(self._bundle)
