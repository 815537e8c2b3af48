"""AWS credentials files: the profile that was asked for, and errors that never quote the file."""

import pytest

from extension_server.credentials.aws_file import BadCredentialsFile, read
from filters.contract.config import AwsCredential
from filters.contract.secret import Secret

FILE = """
# a comment
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = abc/+=def%
[profile work]
aws_access_key_id=AKIAWORK
aws_secret_access_key=work
aws_session_token = token=
region = eu-west-1
[empty]
aws_access_key_id = AKIA
"""


def test_the_default_profile() -> None:
    assert read(Secret(FILE), profile="default", region="us-east-1") == AwsCredential(
        region="us-east-1", access_key_id="AKIADEFAULT", secret_access_key=Secret("abc/+=def%")
    )


def test_a_named_profile_with_a_session_token() -> None:
    assert read(Secret(FILE), profile="work", region="us-east-1") == AwsCredential(
        region="us-east-1",
        access_key_id="AKIAWORK",
        secret_access_key=Secret("work"),
        session_token=Secret("token="),
    )


@pytest.mark.parametrize(
    ("text", "profile", "message"),
    [
        (FILE, "nope", "has no profile 'nope' (profiles in it: default, empty, profile work)"),
        (FILE, "empty", "profile 'empty' has no aws_secret_access_key"),
        ("", "default", "has no profile 'default' (profiles in it: none)"),
        (
            "aws_access_key_id = AKIASECRET",
            "default",
            "is not an AWS credentials file: expected [profile] sections with name = value lines (line 1)",
        ),
        (
            "[default]\nAKIASECRET",
            "default",
            "is not an AWS credentials file: expected [profile] sections with name = value lines",
        ),
    ],
)
def test_a_bad_file_is_explained_without_its_content(text: str, profile: str, message: str) -> None:
    with pytest.raises(BadCredentialsFile) as caught:
        read(Secret(text), profile=profile, region="r")
    assert str(caught.value) == message
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
