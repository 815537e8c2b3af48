"""The API server's verdict on our kinds, by the generated CRDs, is the one that we give offline."""

import copy
import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from aigw.standalone import objects
from aigw.standalone.validate import validate
from extension_server.api import aigateway, kinds
from extension_server.api.base import parse
from filters.contract import jsonlib
from tests.support import validation
from tests.support.apiserver import ApiServer, Refused
from tests.support.validation import Case

CASES: Final = validation.cases()


def offline(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What `aigw validate` says about a file with this object."""
    return objects.judge(jsonlib.encode(dict(document)).decode(), "FILE").errors


def online(api: ApiServer, document: Mapping[str, Any]) -> str:
    """Why the API server refuses it; empty: it does not."""
    try:
        api.create(document, dry_run=True)
    except Refused as exc:
        if exc.reason not in ("Invalid", "BadRequest"):
            raise
        return exc.message
    return ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_api_server_says_what_the_case_expects(api: ApiServer, case: Case) -> None:
    message = online(api, case.document)
    texts = [text for messages in case.rejects.values() for text in messages.split("; ")]
    assert bool(message) == bool(case.rejects), message
    assert [text for text in (*case.rejects, *texts) if text not in message] == [], message
    ours = "\n".join(offline(case.document))
    assert bool(ours) == bool(case.rejects), ours
    assert [text for text in (*case.rejects, *texts) if text not in ours] == [], ours


@pytest.mark.parametrize("case", [case for case in CASES if not case.rejects], ids=lambda case: case.title)
def test_an_object_is_defaulted_by_the_api_server_as_by_us(api: ApiServer, case: Case) -> None:
    document = case.document
    model = kinds.model_of(document["apiVersion"], document["kind"])
    ours = parse(model, document).dump().get("spec", {})
    theirs = api.create(document, dry_run=True).object.get("spec", {})
    assert list(differences(without_empty(theirs), without_empty(ours), "spec")) == []


def without_empty(value: Any) -> Any:
    """Empty members are dropped: our dumps have none."""
    match value:
        case dict():
            members = {name: without_empty(member) for name, member in value.items()}
            return {name: member for name, member in members.items() if member not in ({}, [], None, "")}
        case list():
            return [without_empty(item) for item in value]
        case _:
            return value


UNSTATED: Final = frozenset({"sanitize"})
"""defaults that only we know: the CRD leaves such a field absent"""


def differences(theirs: Any, ours: Any, path: str) -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs.keys() | ours.keys():
            if name in theirs or name not in UNSTATED:
                yield from differences(theirs.get(name), ours.get(name), f"{path}.{name}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(their, our, f"{path}[{index}]")
    elif theirs != ours and not same_moment(theirs, ours):
        yield f"{path}: the API server has {theirs!r}, we have {ours!r}"


def same_moment(theirs: Any, ours: Any) -> bool:
    try:
        return datetime.fromisoformat(theirs.upper()) == datetime.fromisoformat(ours.upper())
    except (AttributeError, ValueError):
        return False


# ---- whole files

REMOVED: Final = {"ollama": 'unknown field "spec.timeouts"', "openai_github": 'unknown field "spec.timeouts"'}
"""what kubectl refuses of files that are otherwise fine, and other clients are warned of"""


@pytest.mark.parametrize("path", validation.examples(), ids=lambda path: path.stem)
def test_the_objects_of_an_example_are_taken(api: ApiServer, path: Path) -> None:
    documents = [
        each for each in yaml.safe_load_all(path.read_text()) if each["apiVersion"].startswith(aigateway.GROUP)
    ]
    assert documents
    refused = [message for message in (online(api, document) for document in documents) if message]
    warnings = [text for each in documents for text in api.create(each, dry_run=True, unknown_fields="Warn").warnings]
    expected = REMOVED.get(path.stem)
    assert len(refused) == len(warnings) == len(validate(path, {}, kubernetes=True).errors) == (expected is not None)
    assert all(expected in message for message in refused)


# ---- random objects

VALUES: Final[tuple[Any, ...]] = (
    *("", "a", "A b", "x" * 260, "ü", "a\n", "*.a.b", "a.b"),
    *("1s", "0s", "1h1h1h1h1h", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05Z", "2026-01-02T03:04Z"),
    *("https://a/b", "http://a b/", "//x", "mailto:a", "/%zz", "http://[::1]:80/x", "http://h:port", "YWJj"),
    *("10", "1.5", "5Mi", "05", "1e3", -1, 0, 1, 70000, 2**31, 2**40, 2**63, 2**70, 1.5),
    *(True, False, None, {}, [None], [""], ["a", "a"], {"a": "b"}, {"name": "a"}, [{"name": "a"}]),
    *("Gateway", "Service", "Backend", "InferencePool", "inference.networking.k8s.io", "gateway.envoyproxy.io"),
    *("APIKey", "GCPCredentials", "CEL", "InputToken", "Random", "ConsistentHash"),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every member and item."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in pairs:
        yield (*path, step)
        yield from places(inner, (*path, step))


def changed(document: dict[str, Any], names: list[str], choices: random.Random) -> dict[str, Any]:
    """One member or item removed, repeated, replaced or added, anywhere in `spec`."""
    document = copy.deepcopy(document)
    found = [path for path in places(document) if path[0] == "spec"]
    if not found:
        return document
    *way, last = choices.choice(found)
    owner: Any = document
    for step in way:
        owner = owner[step]
    match choices.randrange(5):
        case 0:
            del owner[last]
        case 1 if isinstance(owner, list):
            owner.append(copy.deepcopy(owner[last]))
        case 2 if isinstance(owner, dict) and way:
            owner[choices.choice(names)] = copy.deepcopy(choices.choice(VALUES))
        case _:
            owner[last] = copy.deepcopy(choices.choice(VALUES))
    return document


SLACK: Final = ("modelsCreatedAt", "issuer", "resource", "resourceDocumentation", "resourcePolicyUri", "binary")
"""fields with a format: the API server takes a list there, where a text belongs; we do not"""


def slack(errors: tuple[str, ...]) -> bool:
    return bool(errors) and all(any(f".{name}: " in error for name in SLACK) for error in errors)


def test_random_changes_of_objects_get_the_same_verdict(api: ApiServer) -> None:
    choices = random.Random(20261125)
    names = {
        kind: sorted(
            {str(path[-1]) for case in CASES if case.document["kind"] == kind for path in places(case.document)}
        )
        for kind in {case.document["kind"] for case in CASES}
    }
    differing: list[str] = []
    verdicts = {True: 0, False: 0}
    for _ in range(1500):
        base = choices.choice(CASES).document
        document = changed(base, names[base["kind"]], choices)
        theirs, ours = online(api, document), offline(document)
        verdicts[not theirs] += 1
        if bool(theirs) != bool(ours) and not slack(ours):
            differing.append(f"{document}: the API server says {theirs!r}, we say {ours}")
    assert differing == []
    assert min(verdicts.values()) > 100, "the changes are too wild, or too tame, to say anything"
