"""What a store, or whoever answers in its place, does to requests: seeded rules without any I/O.

A rule says which requests it may befall, how often, and with what fault. The proxy
(`lab.hostile_proxy`) plays them on HTTP connections, `lab.hostile_bucket` in one process on virtual
time. In text a rule is `FAULT [METHOD,...] [PATTERN] [p=PROBABILITY] [n=COUNT] [from=CLIENT]`:

    portal                           every request is answered by a hotel's web page
    absent get journal/* p=0.3       three of ten entries that are asked for are denied
    lost create n=1                  one create is carried out, and its answer lost
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random  # noqa: TID251  # seeded by the caller: a failure can be repeated
from typing import Literal, cast, get_args

Method = Literal["get", "put", "create", "list", "delete"]
"""What a client wants. A create is a PUT with `If-None-Match`; a request for a size is a get."""

METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a rule sees it. *key* is the object's, or the folder's of a list."""

    client: str
    method: Method
    key: str


# -- faults ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer in the store's place. `{self}` in a header is the address that was asked."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Let the store do it, then cut the connection before the first byte of its answer."""


@dataclass(frozen=True, slots=True)
class Late:
    """Cut the connection at once; the store gets the request when the client has given up."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Twice:
    """Send the request to the store twice, and hand on the second answer."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Hand on the store's answer, later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request, and never answer."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection when *keep* bytes of the store's body have passed."""

    keep: int


@dataclass(frozen=True, slots=True)
class Drip:
    """Hand on the store's body at *rate* bytes a second."""

    rate: float


@dataclass(frozen=True, slots=True)
class Endless:
    """Answer 200 with a body that never ends and says nothing of its length."""


@dataclass(frozen=True, slots=True)
class Oversize:
    """Answer 200 with *size* bytes, more than any object of ours has."""

    size: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Answer with the body of another object of the same folder, if one has passed.

    With *same* it is the same other one for a key each time, as a cache has it.
    """

    same: bool = False


@dataclass(frozen=True, slots=True)
class Stale:
    """Answer as the first time that this was asked."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Flip one bit of the body that the store answers with; with *same* the same one each time."""

    same: bool = False


@dataclass(frozen=True, slots=True)
class FlipSent:
    """Flip one bit of the body on its way to the store."""


@dataclass(frozen=True, slots=True)
class ForgetRange:
    """Ask the store for all of the object, whatever part was asked for."""


@dataclass(frozen=True, slots=True)
class ClaimMore:
    """Answer a part in good form, with fewer bytes than its Content-Range claims."""


@dataclass(frozen=True, slots=True)
class ListLess:
    """Leave every second object out of a listing."""


@dataclass(frozen=True, slots=True)
class ListTwice:
    """Name every object of a listing twice."""


Fault = (
    Answer
    | LoseAnswer
    | Late
    | Twice
    | Delay
    | Hang
    | Cut
    | Drip
    | Endless
    | Oversize
    | Swap
    | Stale
    | Flip
    | FlipSent
    | ForgetRange
    | ClaimMore
    | ListLess
    | ListTwice
)

PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please log in</body></html>"


def refusal(status: int, code: str) -> Answer:
    """Return the answer of an S3 store that refuses with *code*."""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'.encode()
    return Answer(status, body, (("Content-Type", "application/xml"),))


def redirect(status: int, to: str) -> Answer:
    """Return a redirect; *to* may begin with `{self}`."""
    return Answer(status, b"", (("Location", to),))


CATALOGUE: dict[str, Fault] = {
    # Somebody else answers.
    "portal": Answer(200, PAGE, (("Content-Type", "text/html"),)),
    "portal-etag": Answer(200, PAGE, (("Content-Type", "text/html"), ("ETag", '"5d41402a"'))),
    "empty": Answer(200),
    "gateway": Answer(502, PAGE, (("Content-Type", "text/html"),)),
    "page-404": Answer(404, PAGE, (("Content-Type", "text/html"),)),
    "login": Answer(407, PAGE, (("Proxy-Authenticate", "Basic"),)),
    "redirect-away": redirect(301, "http://192.0.2.1/elsewhere"),
    "redirect-loop": redirect(302, "{self}"),
    "redirect-loopback": redirect(307, "http://127.0.0.1:9/"),
    # The store refuses.
    "other-region": Answer(
        301,
        b"<Error><Code>PermanentRedirect</Code></Error>",
        (("x-amz-bucket-region", "eu-central-1"),),
    ),
    "expired": refusal(403, "ExpiredToken"),
    "skewed": refusal(403, "RequestTimeTooSkewed"),
    "archived": refusal(403, "InvalidObjectState"),
    "denied": refusal(403, "AccessDenied"),
    "no-bucket": refusal(404, "NoSuchBucket"),
    "conflict": refusal(409, "ConditionalRequestConflict"),
    "throttled": refusal(429, "TooManyRequests"),
    "broken": refusal(500, "InternalError"),
    "unimplemented": refusal(501, "NotImplemented"),
    "slow-down": refusal(503, "SlowDown"),
    "full": refusal(507, "InsufficientStorage"),
    # It lies.
    "absent": refusal(404, "NoSuchKey"),
    "exists": refusal(412, "PreconditionFailed"),
    "swap": Swap(),
    "swap-same": Swap(same=True),
    "stale": Stale(),
    "flip": Flip(),
    "flip-same": Flip(same=True),
    "list-less": ListLess(),
    "list-twice": ListTwice(),
    "oversize": Oversize(18 * 1024 * 1024),
    "endless": Endless(),
    "no-range": ForgetRange(),
    "claim-more": ClaimMore(),
    # The network.
    "lost": LoseAnswer(),
    "late": Late(20.0),
    "twice": Twice(),
    "delay": Delay(3.0),
    "slow": Delay(0.5),
    "hang": Hang(),
    "cut": Cut(10),
    "cut-start": Cut(0),
    "drip": Drip(20.0),
    "flip-sent": FlipSent(),
}
"""Every fault by the name it has in a rule."""

QUIET = frozenset(
    {
        "absent",
        "stale",
        "delay",
        "slow",
        "twice",
        "lost",
        "late",
        "exists",
        "list-less",
        "list-twice",
    }
)
"""What a client cannot tell from a store that is well: it need not, and cannot, be told of it."""

BYTES = frozenset({"flip", "flip-same", "flip-sent", "swap", "swap-same", "oversize"})
"""What befalls the bytes of objects alone: a look at the size of one finds the store well."""

LIES = frozenset({"portal-etag"})
"""What destroys: the store acknowledges what it never does."""


# -- rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests meet which fault. *count* is how many at most; None is no limit."""

    name: str
    methods: tuple[Method, ...] = METHODS
    pattern: str = "*"
    probability: float = 1.0
    count: int | None = None
    client: str = "*"

    @property
    def fault(self) -> Fault:
        """What befalls a request."""
        return CATALOGUE[self.name]

    def concerns(self, request: Request) -> bool:
        """Tell whether *request* may be befallen: the pattern fits the end of its key."""
        return (
            request.method in self.methods
            and fnmatchcase(f"/{request.key}", f"*/{self.pattern}")
            and fnmatchcase(request.client, self.client)
        )

    def __str__(self) -> str:
        parts = [self.name]
        if self.methods != METHODS:
            parts.append(",".join(self.methods))
        if self.pattern != "*":
            parts.append(self.pattern)
        if self.probability != 1.0:
            parts.append(f"p={self.probability:g}")
        if self.count is not None:
            parts.append(f"n={self.count}")
        if self.client != "*":
            parts.append(f"from={self.client}")
        return " ".join(parts)


def parse_rule(text: str) -> Rule:
    """Return the rule that *text* says; raises ValueError with a sentence."""
    name, *words = text.split() or [""]
    if name not in CATALOGUE:
        raise ValueError(f"no fault {name!r}: there are {', '.join(sorted(CATALOGUE))}")
    rule = Rule(name)
    changes: dict[str, object] = {}
    for word in words:
        what, equals, value = word.partition("=")
        if equals:
            changes |= _option(what, value)
        elif set(word.split(",")) <= set(METHODS):
            changes["methods"] = tuple(cast(Method, each) for each in word.split(","))
        else:
            changes["pattern"] = word
    return Rule(**{**_fields(rule), **changes})  # type: ignore[arg-type]  # checked above


def _option(what: str, value: str) -> dict[str, object]:
    match what:
        case "p" if 0 <= float(value) <= 1:
            return {"probability": float(value)}
        case "n" if int(value) > 0:
            return {"count": int(value)}
        case "from":
            return {"client": value}
        case _:
            raise ValueError(f"a rule has p=0..1, n=COUNT and from=CLIENT, not {what}={value}")


def _fields(rule: Rule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in Rule.__slots__}


@dataclass(slots=True)
class Hostility:
    """The rules in force, and what came of them. The first that concerns a request befalls it."""

    random: Random
    rules: list[Rule] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    """How often each fault befell a request, by its name."""
    _left: dict[int, int] = field(default_factory=dict)

    def set(self, rules: Iterable[Rule]) -> None:
        """Put *rules* in force instead of those before; hits stay counted."""
        self.rules = list(rules)
        self._left = {
            number: rule.count for number, rule in enumerate(self.rules) if rule.count is not None
        }

    def befalls(self, request: Request) -> Rule | None:
        """Return the rule that befalls *request*, and count the hit."""
        for number, rule in enumerate(self.rules):
            if not rule.concerns(request) or self._left.get(number) == 0:
                continue
            if rule.probability < 1.0 and self.random.random() >= rule.probability:
                continue
            if number in self._left:
                self._left[number] -= 1
            self.hits[rule.name] += 1
            return rule
        return None

    @property
    def pending(self) -> int:
        """How many hits the rules with a count still have before them."""
        return sum(self._left.values())
