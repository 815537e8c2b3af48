"""Nothing that a command prints is a credential: every text goes through here first.

Two nets, because one may have holes: what is known to be secret (values of Secrets, credentials of backends, keys of
the environment) is replaced wherever it stands, and headers that carry credentials by their name are never shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from aigw.commands.report import Problem
from extension_server.api import core
from extension_server.compile.snapshot import Snapshot
from filters.auth.base import CREDENTIAL_HEADERS
from filters.contract.config import AwsCredential, FilterConfig, HeaderCredential
from filters.contract.secret import REDACTED, Secret

_LONG: Final = 6
"""Characters from which a secret is replaced inside longer texts; shorter ones would hit innocent words."""
_TELLING: Final = ("auth", "cookie", "credential", "key", "password", "secret", "signature", "token")
_INNOCENT: Final = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "x-ai-eg-rule"})


def is_sensitive(name: str) -> bool:
    """Whether the header or member of that name may carry a credential."""
    lower = name.lower()
    # `:authority` is a host name.
    if lower.startswith(":") or lower in _INNOCENT:
        return False
    return lower in CREDENTIAL_HEADERS or any(word in lower for word in _TELLING)


class Redactor:
    """Knows the secrets of one configuration."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {each.strip() for each in secrets} - {""}
        self._whole = frozenset(known)
        # Longest first: one secret may be a part of another.
        self._parts = sorted((each for each in known if len(each) >= _LONG), key=lambda each: (-len(each), each))

    def text(self, text: str) -> str:
        if text.strip() in self._whole:
            return REDACTED
        for secret in self._parts:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text

    def tree(self, value: Any) -> Any:
        """Plain values with every text in them redacted, names of members included."""
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(name)): self.tree(member) for name, member in value.items()}
            case list() | tuple():
                return [self.tree(item) for item in value]
            case _:
                return value

    def problems(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        return tuple(replace(each, message=self.text(each.message)) for each in problems)

    def named(self, name: str, value: str) -> str:
        """The value of a header or member."""
        return REDACTED if is_sensitive(name) else self.text(value)


def of(snapshot: Snapshot, config: FilterConfig, environment: Mapping[str, str]) -> Redactor:
    """The redactor for what was made from these resources."""
    return Redactor(_secrets(snapshot, config, environment))


def _secrets(snapshot: Snapshot, config: FilterConfig, environment: Mapping[str, str]) -> Iterable[str]:
    for secret in snapshot.all(core.Secret):
        for value in (*secret.data.values(), *secret.string_data.values()):
            yield value.reveal()
            yield from value.reveal().splitlines()
    for credential in config.credentials.values():
        match credential:
            case HeaderCredential(value=value):
                yield value.reveal()
                yield value.reveal().removeprefix("Bearer ")
            case AwsCredential() as aws:
                yield from (aws.access_key_id, aws.secret_access_key.reveal())
                yield aws.session_token.reveal() if aws.session_token else ""
    for backend in config.backends:
        for name, text in (*backend.header_mutation.set, *backend.body_mutation.set):
            if is_sensitive(name):
                # A member's text is JSON; what it is sent as may stand anywhere in a body.
                yield from (each for each in (text, text.strip('"')) if len(each) >= _LONG)
    # Keys may have been put into any field by substitution.
    yield from (
        value for name, value in environment.items() if name.endswith(("_KEY", "_TOKEN", "_SECRET", "PASSWORD"))
    )


def plain(config: FilterConfig, redactor: Redactor) -> dict[str, Any]:
    """The filter configuration as plain values, without credentials."""
    members: dict[str, Any] = redactor.tree(msgspec.to_builtins(config, enc_hook=_hide, str_keys=True))
    for backend in members.get("backends", ()):
        for mutation in ("header_mutation", "body_mutation"):
            pairs = backend.get(mutation, {}).get("set", ())
            if pairs:
                backend[mutation]["set"] = [[name, redactor.named(name, value)] for name, value in pairs]
    return members


def _hide(value: object) -> object:
    if isinstance(value, Secret):
        return REDACTED
    raise NotImplementedError(type(value).__name__)
