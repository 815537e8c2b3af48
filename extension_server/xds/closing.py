"""Makes a route fail closed: the answer that says "not mediated", in place of an upstream."""

from typing import Final

from extension_server.compile.routes import FAIL_CLOSED_BODY, FAIL_CLOSED_STATUS
from extension_server.xds import pool
from extension_server.xds.pool import Message

_RESPONSE: Final = {
    "status": FAIL_CLOSED_STATUS,
    "body_format": {
        # A format reads `%` as an operator; this body is text.
        "text_format_source": {"inline_bytes": FAIL_CLOSED_BODY.replace("%", "%%").encode()},
        "content_type": "application/json",
    },
}


def close(route: Message) -> None:
    """Replaces the action, whatever it is. Match, metadata and policies of the route stay."""
    route.direct_response.CopyFrom(pool.message("envoy.config.route.v3.DirectResponseAction", **_RESPONSE))
