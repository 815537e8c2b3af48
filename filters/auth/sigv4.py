"""AWS Signature Version 4 for service `bedrock`: one request in, the headers to set out.

Sans-IO: the time is passed in. Signed headers are `host`, `x-amz-date` and, with temporary credentials,
`x-amz-security-token`; content-length is left out, because Envoy may still change it. The payload hash is that of the
bytes that go out, whether or not the gateway changed them. Source: authentication chapter §3.2; AWS "Create a signed
request". Proven against botocore in the tests.
"""

import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from filters.contract.config import AwsCredential, bedrock_host

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SERVICE: Final = "bedrock"

_REGION_IN_HOST: Final = re.compile(
    r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|vpce\.amazonaws\.com|api\.aws)$"
)
_PORT: Final = re.compile(r":\d+$")
_NOT_UNRESERVED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~%]")
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")


class SigV4Signer:
    """Signs for one credential; built once per backend and configuration, used by many requests.

    The signing key depends only on day and region, so the last one is kept (4 HMACs saved per request).
    """

    __slots__ = ("_credential", "_key", "_service")

    def __init__(self, credential: AwsCredential, service: str = SERVICE) -> None:
        self._credential = credential
        self._service = service
        self._key = _SigningKey("", "", b"")

    def sign(self, *, method: str, path: str, host: str, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
        """Headers to set (overwrite). `path` is `:path` with its query, as it goes out; `now` is Unix seconds.

        An empty `host` stands for the region's public endpoint.
        """
        region = region_of(host) or self._credential.region
        authority = host or bedrock_host(region)
        stamp = _timestamp(int(now))
        day = stamp[:8]
        token = self._credential.session_token.reveal().strip() if self._credential.session_token else ""
        names, token_line = _TEMPORARY if token else _LASTING
        location, _, query = path.partition("?")
        request = (
            f"{method}\n{_canonical_path(location)}\n{_canonical_query(query)}\n"
            f"host:{authority}\nx-amz-date:{stamp}\n{token_line % token if token else ''}\n"
            f"{names}\n{sha256(body).hexdigest()}"
        )
        scope = f"{day}/{region}/{self._service}/aws4_request"
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._signing_key(day, region), to_sign.encode(), "sha256").hex()
        authorization = (
            f"{ALGORITHM} Credential={self._credential.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        signed = [("authorization", authorization), ("x-amz-date", stamp), (":authority", authority)]
        if token:
            signed.append(("x-amz-security-token", token))
        return tuple(signed)

    def __repr__(self) -> str:
        return f"SigV4Signer({self._credential!r})"

    def _signing_key(self, day: str, region: str) -> bytes:
        known = self._key
        if known.day != day or known.region != region:
            key = f"AWS4{self._credential.secret_access_key.reveal()}".encode()
            for part in (day, region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            known = self._key = _SigningKey(day, region, key)
        return known.key


@dataclass(frozen=True, slots=True)
class _SigningKey:
    day: str
    region: str
    key: bytes = field(repr=False)


_LASTING: Final = ("host;x-amz-date", "")
_TEMPORARY: Final = ("host;x-amz-date;x-amz-security-token", "x-amz-security-token:%s\n")
"""Names of the signed headers, and the line of the session token"""


@lru_cache(maxsize=4)
def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=1024)
def region_of(host: str) -> str:
    """The region that a Bedrock host name carries; empty for any other name."""
    found = _REGION_IN_HOST.search(_PORT.sub("", host.lower()))
    return found[1] if found else ""


@lru_cache(maxsize=1024)
def _canonical_path(path: str) -> str:
    """The path escaped once more (every service but S3), without dot segments and empty segments."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    trailing = "/" if segments and path.endswith("/") else ""
    return quote("/" + "/".join(segments) + trailing, safe="/~")


def _canonical_query(query: str) -> str:
    """Parameters sorted by their escaped names, then values; what is escaped already stays escaped once."""
    if not query:
        return ""
    pairs = [parameter.partition("=") for parameter in query.split("&") if parameter]
    return "&".join(f"{name}={value}" for name, value in sorted((_escape(n), _escape(v)) for n, _, v in pairs))


def _escape(text: str) -> str:
    escaped = _NOT_UNRESERVED.sub(lambda found: quote(found[0], safe=""), text)
    return _ESCAPE.sub(lambda found: found[0].upper(), escaped)
