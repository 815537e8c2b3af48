"""The offline verdict on our kinds is the API server's: a table of objects, and every rule's Python against its CEL."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from pydantic import BaseModel

from extension_server.api import aigateway, kinds
from extension_server.api.base import InvalidObject, Model, Object, Rule, parse
from tests.support import validation
from tests.support.validation import Case


def verdict(document: Mapping[str, Any]) -> dict[str, str]:
    try:
        parse(kinds.model_of(document["apiVersion"], document["kind"]), document)
    except InvalidObject as exc:
        return {problem.field: problem.message for problem in exc.problems}
    return {}


@pytest.mark.parametrize("case", validation.cases(), ids=lambda case: case.title)
def test_the_verdict_names_every_offending_field(case: Case) -> None:
    found = verdict(case.document)
    assert found.keys() == case.rejects.keys()
    assert [(field, text) for field, text in case.rejects.items() if text not in found[field]] == []


def rules(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[Rule]:
    """Every rule of a model and of the models in it."""
    if model in seen:
        return
    seen.add(model)
    if issubclass(model, Model):
        yield from model.cel_rules
    for field in model.model_fields.values():
        yield from (each for each in (*field.metadata, *metadata_in(field.annotation)) if isinstance(each, Rule))
        yield from (rule for inner in models_in(field.annotation) for rule in rules(inner, seen))


def metadata_in(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for argument in getattr(annotation, "__args__", ()):
        yield from metadata_in(argument)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def value_of(value: Any) -> Any:
    """As CEL sees it: defaults are there, other absent members are not."""
    match value:
        case Model():
            written = {type(value).model_fields[name].alias or name: name for name in type(value).model_fields}
            members = {alias: getattr(value, name) for alias, name in written.items()}
            absent = {alias for alias, name in written.items() if name not in value.model_fields_set}
            return {
                alias: value_of(member)
                for alias, member in members.items()
                if member is not None and not (alias in absent and member in ((), {}))
            }
        case datetime():
            return value.isoformat()
        case tuple():
            return [value_of(item) for item in value]
        case _:
            return value


def test_each_rule_says_the_same_in_python_and_in_cel(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN}, extensions=[ext_strings.ExtStrings()])
    outcomes: dict[str, set[bool]] = {}
    differences: list[str] = []

    def accepts(rule: Rule, value: Any) -> bool:
        result = environment.compile(rule.cel).eval(data={"self": value_of(value)})
        holds = rule.holds(value)
        if result.type() != cel.Type.BOOL or result.value() != holds:
            differences.append(f"{rule.id}: {result} for {value!r}")
        outcomes.setdefault(rule.id, set()).add(holds)
        return holds

    monkeypatch.setattr(Rule, "accepts", accepts)
    for case in validation.cases():
        verdict(case.document)
    assert differences == []
    seen: set[type[BaseModel]] = set()
    expected = {rule.id for model in kinds.OURS for rule in rules(model, seen)}
    assert outcomes == {rule: {True, False} for rule in expected}


@pytest.mark.parametrize("model", kinds.OURS)
def test_each_kind_has_a_json_schema_to_make_its_crd_from(model: type[Object]) -> None:
    schema = model.model_json_schema()
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert schema["required"] == ["metadata"]


def test_limits_of_lists_show_as_limits_of_lists() -> None:
    schema = aigateway.AIGatewayRouteSpec.model_json_schema()["properties"]
    limits = {name: schema[name].get("maxItems") for name in schema}
    assert limits == {"parentRefs": 16, "hostnames": 16, "rules": 15, "llmRequestCosts": 36}
