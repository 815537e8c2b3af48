"""What cert-manager says of the objects that it shares with us: the Secret with the certificates, and the webhook's
configuration. `keeper` asks; nothing here knows how certificates are made.

cert-manager marks a Secret when it issues into it, and never takes the mark off again: not when the Certificate is
deleted, not when cert-manager itself is gone. So the mark alone does not say that anybody renews what is in there. It
stays when the Secret is ours again: without it, a Certificate that comes back would take what is there for issued by
itself, and leave it unmarked.
"""

from collections.abc import Mapping
from typing import Any, Final

from extension_server.controller.client import Api, ApiError, Document, Resource

CERTIFICATES: Final = Resource("cert-manager.io", "v1", "Certificate", "certificates")
MANAGED: Final = "cert-manager.io/certificate-name"
"""annotation of a Secret that cert-manager issued into; its value is the name of the Certificate"""
INJECTED: Final = "cert-manager.io/inject-ca-from"
"""annotation of a webhook configuration whose authority cert-manager's cainjector writes, once the Secret is marked"""


def certificate(secret: Document) -> str | None:
    """Name of the Certificate that is, or was, issued into it."""
    found = _annotations(secret["metadata"]).get(MANAGED)
    return str(found) if found else None


def is_injected(configuration: Document) -> bool:
    return INJECTED in _annotations(configuration["metadata"])


async def exists(api: Api, namespace: str, name: str) -> bool:
    """Is the Certificate there? Also True for those who may not ask: then the mark counts. Raises ApiError."""
    try:
        await api.get(CERTIFICATES, namespace, name)
    except ApiError as exc:
        if exc.not_found or exc.refused:
            return not exc.not_found
        raise
    return True


def _annotations(metadata: Mapping[str, Any]) -> Mapping[str, str]:
    return metadata.get("annotations") or {}
