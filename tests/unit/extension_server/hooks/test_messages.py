"""The wire: the field numbers of Envoy Gateway's service.proto, by an encoder and a decoder of their own."""

from collections.abc import Iterator

import pytest

from extension_server.hooks.messages import METHODS
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from tests.support.hooks import scenario

REQUEST = {"context": 1, "clusters": 2, "secrets": 3, "listeners": 4, "routes": 5}
RESPONSE = {"clusters": 1, "secrets": 2, "listeners": 3, "routes": 4}
"""lower by one: an answer with the numbers of the request would mix up the kinds"""


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Of a message that has only length-delimited fields."""
    at = 0

    def read() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = read()
        assert tag & 7 == 2
        length = read()
        yield tag >> 3, data[at : at + length]
        at += length


def test_answers_of_the_translation_are_numbered_one_lower() -> None:
    request = b"".join(field(number, name.encode()) for name, number in REQUEST.items())
    answer = HookService(CompiledResults()).answer("PostTranslateModify", request)
    assert isinstance(answer, bytes)
    assert {number: value.decode() for number, value in fields(answer)} == {
        number: name for name, number in RESPONSE.items()
    }


def test_a_recorded_request_comes_back_in_order() -> None:
    recorded = scenario("plain-control")
    answer = HookService(recorded.results()).answer("PostTranslateModify", recorded.translation)
    assert isinstance(answer, bytes)
    sent = [(number - 1, value) for number, value in fields(recorded.translation) if number > 1]
    assert sorted(fields(answer)) == sorted(sent)


@pytest.mark.parametrize("method", [each for each in METHODS if each != "PostTranslateModify"])
def test_single_resources_are_field_one_both_ways(method: str) -> None:
    data = field(1, b"resource") + field(2, b"") + field(3, b"of a newer Envoy Gateway")
    answer = HookService(CompiledResults()).answer(method, data)  # type: ignore[arg-type]
    assert isinstance(answer, bytes)
    assert [*fields(answer)] == [(1, b"resource")]
