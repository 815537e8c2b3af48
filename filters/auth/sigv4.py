"""AWS Signature Version 4 for service `bedrock`: one request in, the headers to set out.

Sans-IO: the time is passed in. Signed headers are `host`, `x-amz-date` and, with temporary credentials,
`x-amz-security-token`; content-length is left out, because Envoy may still change it. The payload hash is that of the
bytes that go out, whether or not the gateway changed them. Source: authentication chapter §3.2; AWS "Create a signed
request". Proven against botocore in the tests.
"""

import hmac
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from filters.contract.config import AwsCredential

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

    The signing key depends only on day and region, so the last ones are kept (4 HMACs saved per request).
    """

    __slots__ = ("_credential", "_day", "_keys", "_service")

    def __init__(self, credential: AwsCredential, service: str = SERVICE) -> None:
        self._credential = credential
        self._service = service
        self._day = ""
        self._keys: dict[str, bytes] = {}

    def sign(self, *, method: str, path: str, host: str, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
        """Headers to set (overwrite). `path` is `:path` with its query, as it goes out; `now` is Unix seconds.

        An empty `host` stands for the region's public endpoint; `:authority` is then among the headers.
        """
        region = region_of(host) or self._credential.region
        authority = host or default_host(region)
        stamp = datetime.fromtimestamp(int(now), UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{region}/{self._service}/aws4_request"
        token = self._credential.session_token
        names = "host;x-amz-date;x-amz-security-token" if token else "host;x-amz-date"
        headers = f"host:{authority}\nx-amz-date:{stamp}\n"
        if token:
            headers += f"x-amz-security-token:{token.reveal().strip()}\n"
        location, _, query = path.partition("?")
        request = "\n".join(
            (method, _canonical_path(location), _canonical_query(query), headers, names, sha256(body).hexdigest())
        )
        to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(self._key(stamp[:8], region), to_sign.encode(), "sha256").hex()
        authorization = (
            f"{ALGORITHM} Credential={self._credential.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        signed = [("authorization", authorization), ("x-amz-date", stamp)]
        if token:
            signed.append(("x-amz-security-token", token.reveal().strip()))
        if not host:
            signed.append((":authority", authority))
        return tuple(signed)

    def __repr__(self) -> str:
        return f"SigV4Signer({self._credential!r})"

    def _key(self, day: str, region: str) -> bytes:
        if day != self._day:
            self._day, self._keys = day, {}
        key = self._keys.get(region)
        if key is None:
            key = f"AWS4{self._credential.secret_access_key.reveal()}".encode()
            for part in (day, region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._keys[region] = key
        return key


def region_of(host: str) -> str:
    """The region that a Bedrock host name carries; empty for any other name."""
    found = _REGION_IN_HOST.search(_PORT.sub("", host.lower()))
    return found[1] if found else ""


def default_host(region: str) -> str:
    return f"bedrock-runtime.{region}.amazonaws.com"


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
