"""The match index against a plain reading of Envoy's rules, and the corners by hand."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract.config import HeaderMatch, Listener, Match, VirtualHost
from filters.contract.headers import Headers
from filters.runtime.errors import ConfigError
from filters.runtime.matching import ListenerIndex, host_of

NAMES = [f"r{number}" for number in range(6)]
RULES = {name: name for name in NAMES}


def naive(listener: Listener, authority: str, headers: Headers, model: str) -> str | None:
    """As the Envoy documentation says it, one match after the other."""
    host = re.sub(r":[^:\]]*$", "", authority).lower()
    best: tuple[int, int] | None = None
    chosen: VirtualHost | None = None
    for virtual_host in listener.virtual_hosts:
        for domain in virtual_host.domains:
            lower = domain.lower()
            if lower == host:
                rank = (2, 0)
            elif lower == "*":
                rank = (0, 0)
            elif lower.startswith("*") and host.endswith(lower[1:]) and len(host) > len(lower) - 1:
                rank = (1, len(lower))
            else:
                continue
            if best is None or rank > best:
                best, chosen = rank, virtual_host
    if chosen is None:
        return None
    for match in chosen.matches:
        if match.model in (None, model) and all(_holds(header, headers, model) for header in match.headers):
            return match.rule
    return None


def _holds(match: HeaderMatch, headers: Headers, model: str) -> bool:
    values = [value for name, value in headers.items if name == match.name]
    if match.name == "x-ai-eg-model":
        values = [model]
    if not values:
        return False
    joined = ",".join(values)
    return re.fullmatch(match.value, joined) is not None if match.regex else joined == match.value


model_names = st.sampled_from(["a", "b", "c", "gpt-4", "gpt-5"])
header_matches = st.one_of(
    st.builds(HeaderMatch, st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2", "1,2"])),
    st.builds(
        HeaderMatch,
        st.sampled_from(["x-a", "x-ai-eg-model"]),
        st.sampled_from(["1|2", "gpt-.*", "[ab]", "1.*"]),
        st.just(True),
    ),
)
matches = st.builds(
    Match, st.sampled_from(NAMES), st.none() | model_names, st.lists(header_matches, max_size=2).map(tuple)
)
DOMAINS = ["a.test", "b.a.test", "*.test", "*.a.test", "*", "*a.test"]


@st.composite
def listeners(draw: st.DrawFn) -> Listener:
    domains = draw(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=5, unique=True))
    hosts = [VirtualHost((domain,), tuple(draw(st.lists(matches, max_size=8)))) for domain in domains]
    return Listener("l", tuple(hosts))


requests = st.tuples(
    st.sampled_from(["a.test", "A.Test:80", "b.a.test:1", ".a.test", "xa.test", "other", "", "[::1]:80", "[::1]"]),
    st.lists(st.tuples(st.sampled_from(["x-a", "x-b", "x-ai-eg-model"]), st.sampled_from(["1", "2", "a"])), max_size=4),
    model_names,
)


@settings(max_examples=500, deadline=None)
@given(listeners(), st.lists(requests, min_size=1, max_size=10))
def test_the_index_finds_what_a_plain_reading_finds(
    listener: Listener, asked: list[tuple[str, list[tuple[str, str]], str]]
) -> None:
    index = ListenerIndex(listener, RULES)
    for authority, pairs, model in asked:
        headers = Headers(pairs)
        assert index.find(authority, headers, model) == naive(listener, authority, headers, model)


@pytest.mark.parametrize(
    ("authority", "host"),
    [("A.b:80", "a.b"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", ""), ("a:", "a")],
)
def test_the_port_is_cut_and_case_folded(authority: str, host: str) -> None:
    assert host_of(authority) == host


def test_a_match_beyond_ascii_is_compared_as_utf_8() -> None:
    match = Match("r0", None, (HeaderMatch("x-a", "é"), HeaderMatch("x-b", "[é]", regex=True)))
    index = ListenerIndex(Listener("l", (VirtualHost(("*",), (match,)),)), RULES)
    wire = "é".encode().decode("latin-1")
    assert index.find("h", Headers([("x-a", wire), ("x-b", wire)]), "m") == "r0"
    assert index.find("h", Headers([("x-a", "\xff"), ("x-b", "\xff")]), "m") is None


def test_a_bad_pattern_and_an_unknown_rule_name_their_place() -> None:
    bad = Match("r0", None, (HeaderMatch("x-a", "(", regex=True),))
    with pytest.raises(ConfigError, match=r"rule r0: header match x-a: '\(' is not a regular expression"):
        ListenerIndex(Listener("l", (VirtualHost(("*",), (bad,)),)), RULES)
    with pytest.raises(ConfigError, match="listener l: a match names the unknown rule nobody"):
        ListenerIndex(Listener("l", (VirtualHost(("*",), (Match("nobody"),)),)), RULES)


def test_a_lookup_tries_only_the_matches_of_its_model_and_those_of_none() -> None:
    tried: list[str] = []

    class Watching(Headers):
        def __contains__(self, name: object) -> bool:
            tried.append(str(name))
            return super().__contains__(name)

    many = [Match("r0", f"model-{number}", (HeaderMatch(f"x-{number}", "1"),)) for number in range(2000)]
    index = ListenerIndex(Listener("l", (VirtualHost(("*",), tuple(many)),)), RULES)
    assert index.find("h", Watching([("x-7", "1")]), "model-7") == "r0"
    assert tried == ["x-7"]
