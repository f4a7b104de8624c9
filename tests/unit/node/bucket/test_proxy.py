"""Which proxy stands before a URL: one rule, for everything that speaks HTTP to a store."""

from __future__ import annotations

import pytest

from lucidnode.node.bucket.proxy import Proxies, shown_proxy
from lucidnode.node.client.errors import Malformed

PROXY = "http://proxy.example:3128"


def way(url: str, **environ: str) -> str | None:
    return Proxies.of({"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, **environ}).for_url(url)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("*", "https://store.example"),
        ("store.example", "https://store.example"),
        (".example", "https://store.example"),
        ("example", "https://deep.store.example"),
        ("*.example", "https://store.example"),
        ("STORE.example", "https://store.EXAMPLE"),
        ("other, store.example", "https://store.example"),
        ("other store.example", "https://store.example"),
        ("10.0.0.0/8", "https://10.1.2.3:9000"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("fd00::/8", "https://[fd00::1]:9000"),
        ("[fd00::1]:9000", "https://[fd00::1]:9000"),
        ("store.example:9000", "https://store.example:9000"),
        ("store.example:443", "https://store.example"),
        ("", "http://127.0.0.1:8333"),
        ("", "http://localhost:8333"),
        ("", "http://[::1]:8333"),
    ],
)
def test_what_no_proxy_names_is_reached_without(entry: str, url: str) -> None:
    assert way(url, NO_PROXY=entry) is None


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("", "https://store.example"),
        ("store.example", "https://other-store.example"),
        ("tore.example", "https://store.example"),
        ("10.0.0.0/8", "https://11.1.2.3"),
        ("10.0.0.0/8", "https://ten.example"),
        ("store.example:9000", "https://store.example"),
        ("10.0.0.0/99", "https://10.0.0.1"),
    ],
)
def test_everything_else_goes_through_the_proxy(entry: str, url: str) -> None:
    assert way(url, NO_PROXY=entry) == PROXY


def test_each_scheme_has_its_own_and_all_proxy_stands_for_both() -> None:
    both = Proxies.of({"HTTPS_PROXY": "a.example:1", "all_proxy": "http://b.example:2"})
    assert both.for_url("https://store.example") == "http://a.example:1"
    assert both.for_url("http://store.example") == "http://b.example:2"
    assert Proxies.of({}).for_url("https://store.example") is None
    assert way("https://store.example", https_proxy="http://lower.example:1") == (
        "http://lower.example:1"
    )


@pytest.mark.parametrize("raw", ["socks5://p:1", "http://", "http://p:port", "ftp://p"])
def test_a_proxy_of_another_kind_is_named_and_never_left_out_in_silence(raw: str) -> None:
    with pytest.raises(Malformed, match="HTTPS_PROXY"):
        Proxies.of({"HTTPS_PROXY": raw})


def test_the_password_of_a_proxy_is_never_shown() -> None:
    assert shown_proxy("http://ada:secret@proxy.example:3128") == "proxy.example:3128"
