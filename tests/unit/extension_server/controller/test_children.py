"""Whether writing a generated object would change anything."""

from typing import Any

import pytest

from extension_server.controller import children
from extension_server.controller.documents import Content

OWNER = {"kind": "AIGatewayRoute", "name": "r", "uid": "u", "controller": True}
DOCUMENT: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}, "ownerReferences": [OWNER]},
    "spec": {"rules": [{"name": "x"}]},
}


def content(**changes: Any) -> Content:
    members: dict[str, Any] = {
        "labels": {"a": "1", "theirs": "x"},
        "annotations": {"b": "2", "theirs": "x"},
        "ours": frozenset({("labels", "a"), ("annotations", "b")}),
        "owners": ({"kind": "Other"}, OWNER),
        "spec": {"rules": [{"name": "x"}]},
    }
    return Content(**{**members, **changes})


def test_what_others_add_to_the_metadata_is_theirs() -> None:
    assert not children.differs(DOCUMENT, content())


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {}},
        {"annotations": {"b": "3"}},
        {"ours": frozenset({("labels", "a"), ("annotations", "b"), ("labels", "old")})},
        {"owners": ({**OWNER, "uid": "v"},)},
        {"spec": {"rules": []}},
        {"spec": {"rules": [{"name": "x"}], "hostnames": ["h"]}},
    ],
)
def test_everything_else_is_ours(changes: dict[str, Any]) -> None:
    assert children.differs(DOCUMENT, content(**changes))


def test_an_object_whose_content_is_not_known_differs() -> None:
    assert children.differs(DOCUMENT, None)


def test_removals_name_what_nobody_asked_for() -> None:
    stored = {"a": {"x": 1, "y": {"z": 2}}, "b": 3, "c": [1]}
    assert children.removals({"a": {"y": {}}, "c": [1, 2]}, stored) == {"a": {"x": None, "y": {"z": None}}, "b": None}
    assert children.removals(stored, stored) == {}
