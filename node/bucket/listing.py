"""A page of a listing: what the XML of ListObjectsV2 says, read strictly."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.parsers import expat

from lucidnode.node.client.errors import Malformed

MAX_PAGE_BYTES = 8 * 1024 * 1024
"""Bytes. A thousand keys of the greatest length, three times over, have two thirds of it."""

_MOST_KEYS = 1000
_MOST_ELEMENTS = 50_000
_MOST_TEXT_BYTES = 16 * 1024
_DEEPEST = 8
"""What a page may hold: more than any store sends, and so little that the loop never waits for it
and no memory is gone. A key has 1,024 bytes at most, 3,072 as it is quoted."""


class Page(NamedTuple):
    """Keys with their sizes in bytes, as they came, and whether there are more."""

    objects: list[tuple[str, int]]
    is_cut: bool


def parse_page(body: bytes) -> Page:
    """Return what *body* says. Raises Malformed for all that is no page of a listing."""
    reader = _Reader()
    try:
        reader.parser.Parse(body, True)
        return reader.page()
    except (expat.ExpatError, ValueError, KeyError) as error:
        raise Malformed("what came is no listing") from error


class _Reader:
    """Collects the texts of the elements that count; everything else passes."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        # A declaration of entities is what makes a small text a large one.
        self.parser.StartDoctypeDeclHandler = self._refuse
        self._path: list[str] = []
        self._root: dict[str, str] = {}
        self._entries: list[dict[str, str]] = []
        self._words = ""
        self._elements = 0

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._path.append(name.rpartition(" ")[2])
        self._words = ""
        self._elements += 1
        if self._path == ["ListBucketResult", "Contents"]:
            self._entries.append({})
        if (
            self._elements > _MOST_ELEMENTS
            or len(self._path) > _DEEPEST
            or len(self._entries) > _MOST_KEYS
        ):
            raise ValueError("more than a page has")

    def _text(self, text: str) -> None:
        self._words += text
        if len(self._words) > _MOST_TEXT_BYTES:
            raise ValueError("longer than any key")

    def _end(self, _name: str) -> None:
        match self._path:
            case ["ListBucketResult", name]:
                self._root[name] = self._words
            case ["ListBucketResult", "Contents", name]:
                self._entries[-1][name] = self._words
            case [root] if root != "ListBucketResult":
                raise ValueError(root)
        self._path.pop()

    def _refuse(self, *_declaration: object) -> None:
        raise ValueError("document type")

    def page(self) -> Page:
        quoted = self._root.get("EncodingType") == "url"
        objects = []
        for entry in self._entries:
            key, size = entry["Key"], entry["Size"].strip()
            if not size.isascii() or not size.isdecimal() or len(size) > 18:
                raise ValueError(size)
            # Not every store insists on UTF-8: what is none comes back as the same bytes.
            plain = unquote_plus(key, errors="surrogateescape") if quoted else key
            objects.append((plain, int(size)))
        return Page(objects, self._root.get("IsTruncated", "").strip() == "true")
