"""AWS shared-credentials files (INI), as people keep them in `~/.aws/credentials` and in Secrets.

Pure text in, keys out. Errors never quote the text: it holds secrets.
"""

import configparser
from typing import Final

from filters.contract.config import AwsCredential
from filters.contract.secret import Secret

_NO_DEFAULTS: Final = "\0"
"""configparser would otherwise give every section the members of [DEFAULT]"""


class BadCredentialsFile(ValueError):
    """The text is not a credentials file with the wanted profile; the message says what is missing."""


def read(text: Secret, *, profile: str, region: str) -> AwsCredential:
    """The static keys of one profile: section `[profile]`, or `[profile NAME]` as in config files.

    Raises BadCredentialsFile.
    """
    parser = configparser.RawConfigParser(
        default_section=_NO_DEFAULTS, strict=False, delimiters=("=",), comment_prefixes=("#", ";")
    )
    try:
        parser.read_string(text.reveal())
    except configparser.Error as exc:
        line = getattr(exc, "lineno", None)
        where = f" (line {line})" if line else ""
        # The parser's own text quotes the line, and so maybe a key: not even as a cause does it go on.
        message = f"is not an AWS credentials file: expected [profile] sections with name = value lines{where}"
        raise BadCredentialsFile(message) from None
    for section in (profile, f"profile {profile}"):
        if parser.has_section(section):
            return _keys(parser[section], section, region)
    known = ", ".join(sorted(parser.sections())) or "none"
    raise BadCredentialsFile(f"has no profile {profile!r} (profiles in it: {known})")


def _keys(section: configparser.SectionProxy, name: str, region: str) -> AwsCredential:
    for key in ("aws_access_key_id", "aws_secret_access_key"):
        if not section.get(key, "").strip():
            raise BadCredentialsFile(f"profile {name!r} has no {key}")
    token = section.get("aws_session_token", "").strip()
    return AwsCredential(
        region=region,
        access_key_id=section["aws_access_key_id"].strip(),
        secret_access_key=Secret(section["aws_secret_access_key"].strip()),
        session_token=Secret(token) if token else None,
    )
