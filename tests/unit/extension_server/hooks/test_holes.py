"""Holes in serialized messages: decoded, encoded and filled, at every size."""

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from extension_server.hooks import holes
from extension_server.xds import pool, wire

LIMIT = 1 << 14


@pytest.mark.parametrize("size", [*range(300), *range(LIMIT - 40, LIMIT)])
def test_a_hole_has_the_size_of_its_message_and_is_one(size: int) -> None:
    head = wire.varint(size)
    hole = holes.message(3, head, size)
    if not hole:
        assert size < 16
        return
    assert len(hole) == len(head) + size
    assert hole.startswith(head)
    message = Struct.FromString(hole[len(head) :])
    assert not message.fields
    assert message.SerializeToString(deterministic=True) == hole[len(head) :]


def test_a_message_with_holes_is_decoded_changed_and_filled() -> None:
    route = pool.message(pool.ROUTE, name="r", route={"cluster": "c"})
    owner = {"kind": "HTTPRoute", "name": "a-name", "namespace": "default"}
    json_format.ParseDict({"filter_metadata": {"envoy-gateway": owner}}, route.metadata)
    inner = route.metadata.filter_metadata["envoy-gateway"].SerializeToString(deterministic=True)
    value = wire.varint(len(inner)) + inner
    raw = pool.serialized(route)
    hole = holes.message(0, value[: -len(inner)], len(inner))
    hollow = pool.message_class(pool.ROUTE).FromString(raw.replace(value, hole))
    hollow.route.cluster = "another"
    route.route.cluster = "another"
    assert holes.filled(pool.serialized(hollow), [value]) == pool.serialized(route)


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.lists(st.binary(min_size=20, max_size=400), max_size=3)), max_size=5),
    st.binary(min_size=20, max_size=60),
)
def test_a_template_gives_back_what_was_cut_out(parts: list[tuple[bytes, list[bytes]]], last: bytes) -> None:
    hollows, values, whole = [], [], b""
    for fixed, cut in parts:
        hollow = fixed
        first = len(values)
        for number, value in enumerate(cut):
            whole_value = wire.varint(len(value)) + value
            hollow += holes.message(number, wire.varint(len(value)), len(value)) + fixed
            values.append(whole_value)
        hollows.append((hollow + holes.appendix(len(last)), first))
        whole += fixed + b"".join(each + fixed for each in values[first:]) + last
    assert holes.Template(hollows).filled([*values, last]) == whole
