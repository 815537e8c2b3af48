"""`aigw translate`."""

from pathlib import Path

import pytest
import yaml

from filters.contract import jsonlib
from tests.unit.aigw.commands.world import invoke, written


def test_all_three_sections_come_out_when_none_is_asked_for(tmp_path: Path) -> None:
    result = invoke("translate", written(tmp_path))
    assert result.exit_code == 0
    documents = list(yaml.safe_load_all(result.stdout))
    kinds = [document["kind"] for document in documents if "kind" in document]
    assert kinds == ["HTTPRouteFilter", "HTTPRouteFilter", "HTTPRoute"]
    assert documents[len(kinds)]["gateway"] == "default/aigw"
    assert [name for document in documents[len(kinds) + 1 :] for name in document] == 2 * [
        "listeners",
        "routes",
        "clusters",
    ]


@pytest.mark.parametrize(
    ("option", "present"),
    [
        ("--objects", ["objects"]),
        ("--filter-config", ["filter"]),
        ("--xds", ["xds"]),
        ("", ["objects", "filter", "xds"]),
    ],
)
def test_sections_are_chosen_by_options(tmp_path: Path, option: str, present: list[str]) -> None:
    result = invoke("translate", *filter(None, [option]), written(tmp_path), "--output", "json")
    document = jsonlib.decode(result.stdout.encode(), dict[str, object])
    assert document["format"] == "aigw/translate/v1"
    assert [name for name in ("objects", "filter", "xds") if document[name] is not None] == present


def test_the_same_file_gives_the_same_text(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert invoke("translate", file).stdout == invoke("translate", file).stdout


def test_tokens_are_stand_ins_that_name_their_rule(tmp_path: Path) -> None:
    text = invoke("translate", "--xds", written(tmp_path)).stdout
    assert "token-of/default/llm/rule/0" in text


def test_objects_alone_are_documents_with_kind_and_name(tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all(invoke("translate", "--objects", written(tmp_path)).stdout))
    assert all({"apiVersion", "kind", "metadata"} <= document.keys() for document in documents)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Gateway", "apiVersion: Required value"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: s}", "has no Gateway"),
    ],
)
def test_a_file_that_cannot_be_served_is_unusable(tmp_path: Path, text: str, said: str) -> None:
    result = invoke("translate", written(tmp_path, text))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
