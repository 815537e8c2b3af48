"""Headers and secrets: small values that everything else leans on."""

import pytest

from filters.contract.headers import Headers
from filters.contract.secret import REDACTED, Secret
from filters.contract.usage import Usage


def test_several_lines_of_one_header_read_as_one_list() -> None:
    headers = Headers([("accept", "a"), ("x", "1"), ("accept", "b")])
    assert headers.get("accept") == "a, b"
    assert headers.items == (("accept", "a"), ("x", "1"), ("accept", "b"))
    assert list(headers) == ["accept", "x"]


def test_an_absent_header_reads_as_the_default() -> None:
    assert Headers([]).get("x") == ""
    assert Headers([]).get("x", "-") == "-"
    assert "x" not in Headers([])


def test_headers_show_names_only() -> None:
    assert repr(Headers([("authorization", "Bearer sk-1"), (":path", "/x?key=1")])) == "Headers(authorization, :path)"


@pytest.mark.parametrize("render", [str, repr, "{}".format, "{:>20}".format, "%s".__mod__])
def test_a_secret_never_renders(render: object) -> None:
    assert callable(render)
    rendered = render(Secret("sk-1"))
    assert "sk-1" not in rendered
    assert REDACTED in rendered


def test_newer_usage_replaces_what_it_knows_and_keeps_the_rest() -> None:
    first = Usage(input=10, cached=4)
    assert first.merged(Usage(output=3, cached=0)) == Usage(input=10, output=3, cached=0)
