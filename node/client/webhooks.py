"""The webhooks of a project, as a mount tells its daemon of them: what passes between its processes.

They are in the project's log, and told by one workstation at a time (docs/design/0022-webhooks.md). The mount
reads the log and holds the job; the daemon reaches receivers. msgspec structs, encoded as MessagePack, as
in node/client/wire.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MAX_WEBHOOKS = 32
"""Of one project, and of one workstation."""

MAX_URL = 2048

WEBHOOK_ID = r"[0-9a-f]{8}"

WebhookOrder = Literal["add", "remove", "claim", "told"]

_Id = Annotated[str, msgspec.Meta(pattern=f"^{WEBHOOK_ID}$")]
_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]


class ProjectWebhook(msgspec.Struct, frozen=True):
    """A receiver of a project. *secret* is empty, and *why* a sentence, if it is not told from here.

    *teller* is the device that tells it, empty for none. It has been told all up to entry *after*, and
    *told* events of the next one, and maybe more.
    """

    id: _Id
    url: Annotated[str, msgspec.Meta(max_length=MAX_URL)]
    secret: str
    paths: bool
    why: str
    teller: str
    after: _Seq
    told: _Seq


class ProjectWebhooks(msgspec.Struct, frozen=True, tag="project-webhooks"):
    """What the project's webhooks are now. Not told by a mount whose project has none and had none."""

    webhooks: Annotated[list[ProjectWebhook], msgspec.Meta(max_length=MAX_WEBHOOKS)]


class WebhookQuery(
    msgspec.Struct,
    frozen=True,
    tag="webhook",
    omit_defaults=True,
    kw_only=True,
):
    """Have the mount `add` or `remove` the webhook *id*, `claim` the job of telling it, or note what was `told`.

    With `claim`, *after* and *told* are from where on there is something to tell.
    """

    number: int
    order: WebhookOrder
    id: _Id
    url: str = ""
    secret: str = ""
    paths: bool = False
    after: int = 0
    told: int = 0


class WebhookReply(msgspec.Struct, frozen=True, tag="webhook"):
    """For how many seconds since it asked the daemon may tell the receiver, and from where on.

    *refused* is a sentence that says why nothing was done.
    """

    number: int
    may_tell_s: float
    after: int
    told: int
    refused: str = ""
