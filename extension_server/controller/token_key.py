"""The key of the rules' tokens: the same in every replica and after a restart, or every route would be written anew."""

import base64
import secrets
from typing import Final

from extension_server.controller.client import Api, ApiError, Resource

SECRET: Final = "ai-gateway-token-key"  # noqa: S105  a name
KEY: Final = "key"
SECRETS: Final = Resource("", "v1", "Secret", "secrets")
_LENGTH: Final = 32


class BadTokenKey(ValueError):
    """The Secret is there and does not hold a key."""


async def get_or_create(api: Api, namespace: str) -> bytes:
    """Of the Secret in the controller's namespace; the first replica makes it. Raises ApiError, BadTokenKey."""
    for _ in range(2):
        try:
            document = await api.get(SECRETS, namespace, SECRET)
        except ApiError as exc:
            if not exc.not_found:
                raise
        else:
            return _read(document, namespace)
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace},
            "type": "Opaque",
            "data": {KEY: base64.b64encode(secrets.token_bytes(_LENGTH)).decode()},
        }
        try:
            return _read(await api.create(SECRETS, document), namespace)
        except ApiError as exc:
            if not exc.conflict:
                raise
    raise BadTokenKey(f"Secret {namespace}/{SECRET} comes and goes; is somebody deleting it?")


def _read(document: dict[str, object], namespace: str) -> bytes:
    data = document.get("data")
    try:
        key = base64.b64decode(data[KEY], validate=True) if isinstance(data, dict) else b""
    except (KeyError, ValueError):
        key = b""
    if len(key) < _LENGTH:
        raise BadTokenKey(
            f"Secret {namespace}/{SECRET} does not hold {_LENGTH} bytes under {KEY!r}; delete it, a new one is made"
        )
    return key
