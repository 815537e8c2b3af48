"""What controller and filter say to each other while configurations are pushed. One stream per filter process.

    filter ─► Hello        what it runs
    filter ◄─ pieces       of one encoded Update, when something else is wanted; never two Updates at a time
    filter ─► Running      it runs that state now;  or  Refused   and why
    filter ─► Asked        at any time: whether an Envoy asks it, to a controller that has said HEARS_ASKED

An Update is also how a state is kept in a file: a whole one (`base` empty). Sections are named by `filters.contract.
sections`, and both hashes are computed again by whoever takes an Update, so a broken one changes nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from filters.contract.sections import Sections, digest, hash_of

CONTRACT: Final = 1
"""Of `FilterConfig` and its sections. Raised with each change that an older filter would misunderstand; filters of
another number keep what they run until their pods are rolled."""
AUDIENCE: Final = "ai-gateway-config"
"""that the tokens of filters are made for"""
RECONNECT: Final = 4.0
"""Seconds within which a filter tries again to reach its controller."""
KEPT_SECONDS: Final = 30.0
"""For which a filter serves with a configuration that another has replaced, at least."""
SERVICE: Final = "aigw.push.v1.Configuration"
METHOD: Final = "Follow"
ACCEPTED: Final = ("aigw-push", "accepted")
"""Initial metadata of a stream that is served; gRPC gives empty ones to calls that fail, too."""
PIECE: Final = 256 * 1024
"""Bytes of an Update per message. gRPC takes 4 MiB by default; small ones leave the event loops time for others."""
HEARS_ASKED: Final = ("aigw-push-hears", "asked")
"""Initial metadata of a controller that takes `Asked`. An earlier one would end the stream at it."""
LOOK: Final = 1.0
"""Seconds between two looks of a filter at whether an Envoy asks it. Envoy probes as often."""
SILENT_LOOKS: Final = 6
"""Looks in a row that must find no Envoy for a filter to say so, and again after as many, for as long as it is so."""
MAX_REPORT: Final = 64 * 1024
"""Bytes of one message of a filter."""
MAX_REASON: Final = 1024
"""Characters of `Refused.reason`."""


class State(msgspec.Struct, frozen=True):
    """Names what a filter runs; both empty: nothing."""

    config_hash: str = ""
    credentials_hash: str = ""


NOTHING: Final = State()


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="kind"):
    contract: int
    release: str
    """version of the filter, for people"""
    state: State
    silent: int = 0
    """as `Asked.silent`; also 0 while it is too early to say, and of filters that do not say it"""


class Running(msgspec.Struct, frozen=True, tag="running", tag_field="kind"):
    state: State


class Refused(msgspec.Struct, frozen=True, tag="refused", tag_field="kind"):
    """`state` was not taken; what ran before runs on."""

    state: State
    reason: str
    """one sentence"""


class Asked(msgspec.Struct, frozen=True, tag="asked", tag_field="kind"):
    """Whether an Envoy asks the filter. Envoy connects to it once a second for as long as it has our patches (docs/adr/
    0019), whatever requests come."""

    silent: int
    """looks in a row that found no Envoy; 0: one asks"""


Report = Hello | Running | Refused | Asked


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """From `base` to `state`. Of credentials, the values are in clear."""

    contract: int
    state: State
    base: State = NOTHING
    parts: dict[str, bytes] = msgspec.field(default_factory=dict)
    """new and changed sections"""
    gone: tuple[str, ...] = ()
    credentials: dict[str, bytes] = msgspec.field(default_factory=dict)
    gone_credentials: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Update({self.base} -> {self.state}, {len(self.parts)} parts, {len(self.credentials)} credentials)"


EMPTY: Final = Sections({}, {}, {}, "", "")
_encoder: Final = msgspec.msgpack.Encoder()
_reports: Final[msgspec.msgpack.Decoder[Report]] = msgspec.msgpack.Decoder(Report)
_updates: Final = msgspec.msgpack.Decoder(Update)
_MORE: Final = b"\x00"
_LAST: Final = b"\x01"


class BadMessage(ValueError):
    """A message, or a file, is not what it should be; the text is a sentence for people."""


def encode(message: Report | Update) -> bytes:
    return _encoder.encode(message)


def decode_report(data: bytes) -> Report:
    """Raises BadMessage."""
    try:
        return _reports.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BadMessage(f"not a report: {exc}") from exc


def decode_update(data: bytes) -> Update:
    """Raises BadMessage."""
    try:
        return _updates.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BadMessage(f"not an update of the configuration: {exc}") from exc


def pieces(update: bytes) -> Iterator[bytes]:
    """An encoded Update as messages."""
    for start in range(0, len(update), PIECE):
        end = start + PIECE
        yield (_LAST if end >= len(update) else _MORE) + update[start:end]


def piece(message: bytes) -> tuple[bytes, bool]:
    """What a message of `pieces` holds, and whether it is the last. Raises BadMessage."""
    if message[:1] not in (_MORE, _LAST):
        raise BadMessage("not a piece of an update")
    return message[1:], message[:1] == _LAST


def state_of(sections: Sections | None) -> State:
    return NOTHING if sections is None else State(sections.config_hash, sections.credentials_hash)


def update(new: Sections, old: Sections | None = None) -> Update:
    """What makes `new` of `old`; without `old`, all of `new`."""
    before: Sections = old or EMPTY
    return Update(
        contract=CONTRACT,
        state=state_of(new),
        base=state_of(old),
        parts=_changed(new.parts, before.parts),
        gone=tuple(sorted(before.parts.keys() - new.parts.keys())),
        credentials=_changed(new.credentials, before.credentials),
        gone_credentials=tuple(sorted(before.credentials.keys() - new.credentials.keys())),
    )


def apply(change: Update, base: Sections | None) -> Sections:
    """The state after `change`. Raises BadMessage, also for a result that is not what its hashes say."""
    if change.contract != CONTRACT:
        raise BadMessage(f"the configuration has contract {change.contract}, this process understands {CONTRACT}")
    if change.base == NOTHING:
        base = None
    elif change.base != state_of(base):
        raise BadMessage("the update does not continue what is here")
    before = base or EMPTY
    digests = _merged(before.digests, {name: digest(part) for name, part in change.parts.items()}, change.gone)
    credentials = _merged(before.credentials, change.credentials, change.gone_credentials)
    if base is not None and not change.credentials and not change.gone_credentials:
        credentials_hash = before.credentials_hash
    else:
        credentials_hash = hash_of({identity: digest(section) for identity, section in credentials.items()})
    if State(hash_of(digests), credentials_hash) != change.state:
        raise BadMessage("the configuration is damaged: its content is not what its hash says")
    return Sections(
        parts=_merged(before.parts, change.parts, change.gone),
        credentials=credentials,
        digests=digests,
        config_hash=change.state.config_hash,
        credentials_hash=change.state.credentials_hash,
    )


def _changed(new: Mapping[str, bytes], old: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: section for name, section in new.items() if old.get(name) != section}


def _merged(old: Mapping[str, bytes], new: Mapping[str, bytes], gone: tuple[str, ...]) -> dict[str, bytes]:
    merged = {**old, **new}
    for name in gone:
        merged.pop(name, None)
    return merged
