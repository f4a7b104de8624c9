"""What discovery raises. Nothing on the LAN is an error: what cannot be understood is ignored.

DiscoveryError
└── BadAddress      a person wrote an address of no known form: tell them
"""

from __future__ import annotations


class DiscoveryError(Exception):
    """Base of everything this plane raises."""


class BadAddress(DiscoveryError):
    """Text that is no `HOST:PORT`."""
