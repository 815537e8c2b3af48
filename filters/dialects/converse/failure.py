"""How Bedrock says that something went wrong: the names of its exceptions, in a stream and as an answer's error.

Source: AWS API reference (Converse, Errors); translation chapter §7.7 B25, §7.9.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError
from filters.dialects.events import Failure
from filters.streams.eventstream import Message

UNNAMED: Final = "AWSBedrockBackendError"
"""error type when the provider gives none"""

_STATUS: Final[Mapping[str, int]] = {
    "accessdeniedexception": 403,
    "conflictexception": 400,
    "expiredtokenexception": 403,
    "internalserverexception": 500,
    "modelerrorexception": 424,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "resourcenotfoundexception": 404,
    "servicequotaexceededexception": 400,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "unrecognizedclientexception": 403,
    "validationexception": 400,
}
"""HTTP status that a name stands for: what Bedrock answers with when it fails before the stream begins"""
_UNKNOWN_STATUS: Final = 500


class _ErrorBody(Struct, frozen=True, rename={"kind": "__type", "upper_message": "Message"}):
    message: str | None = None
    upper_message: str | None = None
    kind: str | None = None
    code: str | None = None

    def text(self, body: bytes) -> str:
        """The message; all of `body` when it has no member for one."""
        if self.message is None and self.upper_message is None and body.strip() != b"{}":
            return body.decode("utf-8", "replace")
        return self.message or self.upper_message or ""


_read = jsonlib.decoder(_ErrorBody)


def read_body(content_type: str, error_type: str, body: bytes) -> tuple[str, str]:
    """(type, message) of an error answer. `error_type` is the header `x-amzn-errortype`, maybe empty.

    Never raises: what is not the JSON that it says it is becomes the message as it stands.
    """
    named = error_type.partition(":")[0].strip()
    if "json" in content_type.lower():
        try:
            error = _read(body)
        except JsonError:
            pass
        else:
            return named or _short(error.kind or error.code or "") or UNNAMED, error.text(body)
    return named or UNNAMED, body.decode("utf-8", "replace")


def of_message(message: Message) -> Failure | None:
    """The failure that an event-stream message reports; None for an event.

    `exception` is an error that the service's model knows, `error` one that it does not.
    """
    kind = message.text(":message-type")
    if kind == "event":
        return None
    match kind or ("exception" if ":exception-type" in message.headers else ""):
        case "exception":
            name = message.text(":exception-type") or UNNAMED
            try:
                text = _read(message.payload).text(message.payload)
            except JsonError:
                text = message.payload.decode("utf-8", "replace")
        case "error":
            name = message.text(":error-code") or UNNAMED
            text = message.text(":error-message")
        case _:
            return None
    return Failure(name, _STATUS.get(name.lower(), _UNKNOWN_STATUS), text)


def _short(name: str) -> str:
    """`com.amazon.coral.service#ThrottlingException:http://…` → `ThrottlingException`."""
    return name.partition(":")[0].rpartition("#")[2].strip()
