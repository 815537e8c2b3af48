"""The signer against botocore, which signs the same request with the same clock."""

import random
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from filters.auth.sigv4 import SigV4Signer, region_of
from filters.contract.config import AwsCredential
from filters.contract.secret import Secret

NOW = 1_700_000_000
SEGMENTS = "abcXYZ019-_.~$&+:=@"


def credential(*, token: str = "") -> AwsCredential:
    return AwsCredential(
        region="eu-west-3",
        access_key_id="AKIDEXAMPLE",
        secret_access_key=Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token=Secret(token) if token else None,
    )


def botocore_headers(
    monkeypatch: pytest.MonkeyPatch,
    aws: AwsCredential,
    *,
    method: str,
    path: str,
    host: str,
    body: bytes,
    now: int,
    region: str,
) -> dict[str, str]:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime.fromtimestamp(now, UTC))
    token = aws.session_token.reveal() if aws.session_token else None
    request: Any = AWSRequest(method=method, url=f"https://{host}{path}", data=body)
    credentials = Credentials(aws.access_key_id, aws.secret_access_key.reveal(), token)
    botocore.auth.SigV4Auth(credentials, "bedrock", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def random_request(seed: int) -> dict[str, Any]:
    """A request as our translators make them: an escaped model in the path, sometimes a query."""
    chooser = random.Random(seed)
    model = "".join(chooser.choices(SEGMENTS + "/ üé%?#", k=chooser.randint(1, 40))).strip(".") or "m"
    path = f"/model/{quote(model, safe='-_.~$&+:=@')}/{chooser.choice(('converse', 'converse-stream', 'invoke'))}"
    if chooser.random() < 0.3:
        names = [quote("".join(chooser.choices("abAB-_.~ /=", k=3)), safe="") for _ in range(chooser.randint(1, 4))]
        path += "?" + "&".join(f"{name}={quote(chooser.choice(('', 'v', 'ä b', '1/2')), safe='')}" for name in names)
    return {
        "method": chooser.choice(("POST", "POST", "GET")),
        "path": path,
        "body": chooser.randbytes(chooser.choice((0, 1, 100, 5000))),
        "now": NOW + chooser.randint(0, 400 * 86_400),
    }


@pytest.mark.parametrize("token", ["", "FwoGZXIvYXdzEXAMPLE//token+=="])
@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a1b-2c3d.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("gateway.example.com", "eu-west-3"),
    ],
)
def test_botocore_signs_the_same(monkeypatch: pytest.MonkeyPatch, host: str, region: str, token: str) -> None:
    aws = credential(token=token)
    signer = SigV4Signer(aws)
    for seed in range(60):
        request = random_request(seed)
        ours = dict(signer.sign(host=host, **request))
        assert ours.pop(":authority") == host
        theirs = botocore_headers(monkeypatch, aws, host=host, region=region, **request)
        assert ours == {name: theirs[name] for name in ours}
        assert set(theirs) - set(ours) <= {"content-length", "x-amz-content-sha256"}


@pytest.mark.parametrize(
    "path",
    ["/", "/a//b/", "/a/./b/../c", "/../..", "/model/a%2Fb/converse", "/model/arn:aws:bedrock:x/converse", "/a/."],
)
def test_odd_paths_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    request: dict[str, Any] = {"method": "POST", "path": path, "body": b"{}", "now": NOW}
    theirs = botocore_headers(monkeypatch, credential(), host="x.example", region="eu-west-3", **request)
    assert dict(SigV4Signer(credential()).sign(host="x.example", **request))["authorization"] == theirs["authorization"]


@pytest.mark.parametrize(
    ("method", "path", "signature"),
    [
        ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("GET", "/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("POST", "/?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        ("GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("GET", "/?%E1%88%B4=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        (
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
    ],
)
def test_the_published_test_suite_signs_the_same(method: str, path: str, signature: str) -> None:
    """AWS "Signature Version 4 test suite": its credentials, host, service and time."""
    aws = AwsCredential(
        region="us-east-1",
        access_key_id="AKIDEXAMPLE",
        secret_access_key=Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    )
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
    headers = SigV4Signer(aws, service="service").sign(
        method=method, path=path, host="example.amazonaws.com", body=b"", now=now
    )
    assert dict(headers) == {
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
        "x-amz-date": "20150830T123600Z",
        ":authority": "example.amazonaws.com",
    }


def test_without_a_host_the_regions_public_endpoint_is_signed_and_named() -> None:
    request: dict[str, Any] = {"method": "POST", "path": "/model/m/converse", "body": b"{}", "now": NOW}
    signer = SigV4Signer(credential())
    host = "bedrock-runtime.eu-west-3.amazonaws.com"
    assert signer.sign(host="", **request) == signer.sign(host=host, **request)
    assert dict(signer.sign(host="", **request))[":authority"] == host


def test_unescaped_query_text_is_escaped_and_escapes_are_upper_case() -> None:
    signer = SigV4Signer(credential())
    request: dict[str, Any] = {"method": "POST", "host": "x.example", "body": b"", "now": NOW}
    assert signer.sign(path="/p?b=a b%2f&a=%", **request) == signer.sign(path="/p?a=%25&b=a%20b%2F", **request)


def test_another_body_path_or_second_has_another_signature() -> None:
    signer = SigV4Signer(credential())
    base: dict[str, Any] = {"method": "POST", "path": "/a", "host": "x.example", "body": b"1", "now": NOW}
    variants = [
        base,
        {**base, "body": b"2"},
        {**base, "path": "/b"},
        {**base, "now": NOW + 1},
        {**base, "method": "PUT"},
    ]
    assert len({dict(signer.sign(**variant))["authorization"] for variant in variants}) == len(variants)


def test_the_signature_does_not_show_the_secret() -> None:
    headers = SigV4Signer(credential()).sign(method="POST", path="/", host="h", body=b"", now=NOW)
    assert "wJalr" not in repr(headers) + repr(SigV4Signer(credential()))


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com:443", "us-east-1"),
        ("BEDROCK-RUNTIME.US-EAST-1.AMAZONAWS.COM", "us-east-1"),
        ("bedrock-runtime.us-east-1.api.aws", "us-east-1"),
        ("my-bedrock-runtime.us-east-1.amazonaws.com", ""),
        ("bedrock-runtime.us-east-1.amazonaws.com.evil.example", ""),
        ("bedrock.us-east-1.amazonaws.com", ""),
        ("10.0.0.1", ""),
    ],
)
def test_the_region_is_read_from_bedrocks_own_names_only(host: str, region: str) -> None:
    assert region_of(host) == region
