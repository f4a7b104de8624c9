"""A member's secret keys, and what is sealed to members: names and project secrets."""

from __future__ import annotations

import unicodedata

import msgspec

from lucidnode.fs.errors import FormatError, Invalid
from lucidnode.fs.format import sodium
from lucidnode.fs.format.keys import MAX_EPOCH, ProjectKeys
from lucidnode.fs.format.padding import padded, unpadded
from lucidnode.node.client.errors import Malformed
from lucidnode.node.client.ids import ProjectId
from lucidnode.node.client.msgpack import decoded

_PADDING_BYTES = 64
"""Names are padded to a multiple of this, so that their length says little."""

_MAX_NAME_BYTES = 255
"""Bytes of UTF-8, as of a file name: projects and members are shown as such."""


_UNSEEN = "\N{REPLACEMENT CHARACTER}"


class MemberKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An Ed25519 seed and an X25519 secret: of a member, or of an invite while it is open."""

    sign_seed: bytes
    box_secret: bytes

    @classmethod
    def new(cls) -> MemberKeys:
        """Return fresh random keys."""
        return cls(sodium.random_bytes(sodium.SEED_SIZE), sodium.random_bytes(sodium.KEY_SIZE))

    def __post_init__(self) -> None:
        if (len(self.sign_seed), len(self.box_secret)) != (sodium.SEED_SIZE, sodium.KEY_SIZE):
            raise ValueError("key sizes")

    @property
    def public(self) -> bytes:
        """The signing public key, by which the roster knows the member."""
        return sodium.signing_public(self.sign_seed)

    @property
    def box(self) -> bytes:
        """The public key that project secrets are sealed to."""
        return sodium.box_public(self.box_secret)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of *message*."""
        return sodium.sign(self.sign_seed, message)

    def __repr__(self) -> str:
        return "MemberKeys(...)"


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people call a member and its workstation. An invite suggests the member's name."""

    member: str
    device: str


class ProjectSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens one epoch of a project, as it is sealed to each member."""

    project: str
    name: str
    epoch: int
    key: bytes

    def __repr__(self) -> str:
        return f"ProjectSecret(project={self.project!r}, epoch={self.epoch})"


_LABEL = msgspec.msgpack.Decoder(Label)
_SECRET = msgspec.msgpack.Decoder(ProjectSecret)


def spelled(name: str) -> str:
    """Return *name* in the one spelling we keep (NFC); raises Invalid if nobody could type it."""
    name = unicodedata.normalize("NFC", name)
    if not name or name != name.strip() or not name.isprintable() or "/" in name:
        raise Invalid("a name needs visible characters, no '/', and no spaces around it")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise Invalid(f"a name has at most {_MAX_NAME_BYTES} bytes")
    return name


def shown(name: str) -> str:
    """Return *name*, which somebody else chose, as it may be shown: one line of visible characters.

    What `spelled` lets pass stays as it is.
    """
    name = unicodedata.normalize("NFC", name[:_MAX_NAME_BYTES])
    visible = "".join(c if c.isprintable() and c != "/" else _UNSEEN for c in name).strip()
    cut = visible.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip()
    return cut or _UNSEEN


def seal_secret(secret: ProjectSecret, box: bytes) -> bytes:
    """Return *secret* sealed to the holder of *box*; raises Forged if that is no usable key."""
    return sodium.seal_to(box, padded(msgspec.msgpack.encode(secret), _PADDING_BYTES))


def open_secret(keys: MemberKeys, project: ProjectId, sealed: bytes) -> ProjectSecret:
    """Return the secret of *project* that was sealed to *keys*; raises FormatError."""
    contents = unpadded(sodium.unseal(keys.box_secret, sealed), _PADDING_BYTES)
    try:
        secret = decoded(_SECRET, contents)
    except Malformed as error:
        raise FormatError("a project secret does not parse") from error
    if secret.project != project:
        raise FormatError("a project secret belongs to another project")
    if len(secret.key) != sodium.KEY_SIZE or not 1 <= secret.epoch <= MAX_EPOCH:
        raise FormatError("a project secret has no usable key")
    if len(secret.name.encode()) > _MAX_NAME_BYTES:
        raise FormatError("a project secret has a name that is too long")
    return secret


def seal_label(name_key: bytes, owner: bytes, label: Label) -> bytes:
    """Return *label* sealed for members; *owner* is the signing key it belongs to."""
    nonce = sodium.random_bytes(sodium.AEGIS_NONCE_SIZE)
    contents = padded(msgspec.msgpack.encode(label), _PADDING_BYTES)
    return nonce + sodium.aegis256_seal(name_key, nonce, contents, owner)


def open_label(name_key: bytes, owner: bytes, sealed: bytes) -> Label:
    """Return the label that `seal_label` sealed for *owner*; raises FormatError."""
    nonce, body = sealed[: sodium.AEGIS_NONCE_SIZE], sealed[sodium.AEGIS_NONCE_SIZE :]
    if len(nonce) != sodium.AEGIS_NONCE_SIZE:
        raise FormatError("a name is cut short")
    contents = unpadded(sodium.aegis256_open(name_key, nonce, body, owner), _PADDING_BYTES)
    try:
        return decoded(_LABEL, contents)
    except Malformed as error:
        raise FormatError("a name does not parse") from error


def seal_project_name(keys: ProjectKeys, name: str) -> bytes:
    """Return *name* sealed for who can open the newest epoch of the project. Raises KeyMissing."""
    nonce = sodium.random_bytes(sodium.AEGIS_NONCE_SIZE)
    contents = padded(name.encode(), _PADDING_BYTES)
    key = keys.epoch(keys.current).name
    return nonce + sodium.aegis256_seal(key, nonce, contents, _place(keys.project, keys.current))


def open_project_name(keys: ProjectKeys, epoch: int, sealed: bytes) -> str:
    """Return what `seal_project_name` sealed in *epoch*, as it may be shown. Raises FormatError."""
    nonce, body = sealed[: sodium.AEGIS_NONCE_SIZE], sealed[sodium.AEGIS_NONCE_SIZE :]
    if len(nonce) != sodium.AEGIS_NONCE_SIZE:
        raise FormatError("a project's name is cut short")
    key = keys.epoch(epoch).name
    contents = unpadded(
        sodium.aegis256_open(key, nonce, body, _place(keys.project, epoch)), _PADDING_BYTES
    )
    try:
        return shown(contents.decode())
    except UnicodeDecodeError as error:
        raise FormatError("a project's name is no text") from error


def _place(project: ProjectId, epoch: int) -> bytes:
    return bytes.fromhex(project) + epoch.to_bytes(4, "big")
