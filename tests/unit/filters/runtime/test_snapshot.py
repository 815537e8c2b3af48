"""Configurations become snapshots, or one sentence that says what is wrong; the old one stays."""

import gc
from collections import Counter

import msgspec
import pytest

from filters.auth.sigv4 import SigV4Signer
from filters.contract import config, push
from filters.contract.config import (
    AwsCredential,
    BodyMutation,
    Cost,
    FilterConfig,
    HeaderCredential,
    Rule,
    Schema,
    Share,
)
from filters.contract.secret import Secret
from filters.providers.base import Provider
from filters.runtime import snapshot
from filters.runtime.costs import CostTable
from filters.runtime.credentials import Credentials
from filters.runtime.errors import ConfigError
from filters.runtime.matching import ListenerIndex
from filters.runtime.snapshot import Builder
from filters.runtime.store import KEPT_AT_MOST, SnapshotStore
from tests.support.gateway import Gateway, backend, configuration

PROVIDERS = {name: Provider(name, {}) for name in ("OpenAI", "AWSBedrock")}  # type: ignore[arg-type]


def new_store(kept: int = 4) -> SnapshotStore:
    credentials = Credentials()
    return SnapshotStore(Builder(providers=PROVIDERS, endpoints=(), credentials=credentials), credentials, kept)


def build(document: FilterConfig) -> snapshot.Snapshot:
    return new_store().prepare(config.encode(document)).snapshot


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            configuration(backend("ns/b", body_mutation=BodyMutation(set=(("a", "1,2"),)))),
            r"backend ns/b: bodyMutation.set\[a\]: the value is not JSON",
        ),
        (
            configuration(backend("ns/b", credential=HeaderCredential("x", Secret("a\nb")))),
            "credential ns/b: empty, or with characters that a header cannot hold",
        ),
        (
            configuration(costs=(Cost("k", "CEL", "x"),)),
            "rule ns/r/rule/0: cost k: the CEL expression does not",
        ),
        (msgspec.structs.replace(configuration(), backends=()), "rule ns/r/rule/0: backends: ns/b.* does not exist"),
    ],
)
def test_what_cannot_be_built_is_named(document: FilterConfig, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(document)


def test_no_secret_shows_in_a_snapshot_or_in_an_error() -> None:
    aws = AwsCredential("us-east-1", "AKIA", Secret("very-secret"))
    ready = build(
        configuration(
            backend("ns/a/x", credential=aws, schema=Schema("AWSBedrock")),
            backend("ns/b/x", credential=HeaderCredential("authorization", Secret("Bearer very-secret"))),
        )
    )
    assert "very-secret" not in repr(ready)
    with pytest.raises(ConfigError) as caught:
        build(configuration(backend(credential=HeaderCredential("authorization", Secret("very-secret\0")))))
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "path"),
    [(("/", "/", "/v1/x"), "/v1/x"), (("/ai/", "/cohere", "/v2/y"), "/ai/cohere/v2/y"), (("", "a", "b/"), "/a/b")],
)
def test_paths_are_joined_without_doubled_slashes(parts: tuple[str, ...], path: str) -> None:
    assert snapshot.join_path(*parts) == path


def test_endpoint_prefixes_and_root_move_the_endpoints() -> None:
    gateway = Gateway()
    moved = msgspec.structs.replace(
        configuration(), root_prefix="/ai", endpoint_prefixes=(("openai", "/oa"), ("anthropic", "/oa"))
    )
    gateway.filters.load(config.encode(moved))
    ready = gateway.filters.store.newest
    assert ready is not None
    assert list(ready.endpoints) == ["/ai/oa/v1/chat/completions"]
    assert ready.listings == {"/ai/oa/v1/models": "openai"}


def _document(number: int) -> bytes:
    return config.encode(msgspec.structs.replace(configuration(), gateway=f"ns/{number}"))


def test_a_request_gets_the_snapshot_that_its_route_names_and_otherwise_the_newest() -> None:
    store = new_store(kept=3)
    assert store.find("anything") is None
    hashes = [store.load(_document(number)) for number in range(4)]
    assert [_gateway(store, config_hash) for config_hash in hashes] == ["ns/3", "ns/1", "ns/2", "ns/3"]
    assert _gateway(store, "unknown") == "ns/3"


def test_when_much_changes_at_once_what_was_the_newest_a_moment_ago_stays() -> None:
    now = 0.0
    credentials = Credentials()
    builder = Builder(providers=PROVIDERS, endpoints=(), credentials=credentials)
    store = SnapshotStore(builder, credentials, kept=2, now=lambda: now)
    hashes = [store.load(_document(number)) for number in range(10)]
    assert [_gateway(store, config_hash) for config_hash in hashes] == [f"ns/{number}" for number in range(10)]
    now += push.KEPT_SECONDS
    last = store.load(_document(10))
    assert [_gateway(store, config_hash) for config_hash in hashes] == ["ns/10"] * 9 + ["ns/9"]
    assert _gateway(store, last) == "ns/10"
    for number in range(2 * KEPT_AT_MOST):
        store.load(_document(number))
    known = [store.load(_document(number)) for number in range(3)]
    assert [_gateway(store, config_hash) for config_hash in known] == ["ns/0", "ns/1", "ns/2"]
    assert store.kept == KEPT_AT_MOST


def test_loading_a_known_document_again_makes_it_the_newest_without_building_it() -> None:
    store = new_store(kept=3)
    first = store.load(_document(0))
    ready = store.newest
    store.load(_document(1))
    assert store.load(_document(0)) == first
    assert store.newest is ready


def test_snapshots_have_no_cycles_so_that_they_are_freed_without_the_collector() -> None:
    aws = AwsCredential("us-east-1", "a", Secret("b"))
    documents = [
        config.encode(
            configuration(backend(f"ns/b{number}", credential=aws), costs=(Cost("k", "CEL", "input_tokens"),))
        )
        for number in range(3)
    ]
    store = new_store(kept=1)
    store.load(documents[0])
    gc.collect()
    gc.disable()
    try:
        before = _parts()
        for document in documents[1:]:
            store.load(document)
        assert before > 0
        assert _parts() == before
    finally:
        gc.enable()


def _parts() -> int:
    parts = (snapshot.Snapshot, snapshot.ReadyRule, snapshot.ReadyBackend, CostTable, ListenerIndex, SigV4Signer)
    return sum(isinstance(found, parts) for found in gc.get_objects())


def test_a_document_that_cannot_be_built_leaves_everything_as_it_was() -> None:
    store = new_store()
    store.load(_document(0))
    before = store.newest
    with pytest.raises(ConfigError, match="filter configuration"):
        store.load(b"{")
    with pytest.raises(ConfigError, match="not an update"):
        store.load(b"?")
    with pytest.raises(ConfigError, match="does not compile"):
        store.load(config.encode(configuration(costs=(Cost("k", "CEL", "x"),))))
    assert store.newest is before


def _gateway(store: SnapshotStore, config_hash: str) -> str:
    found = store.find(config_hash)
    assert found is not None
    return found.gateway


def test_requests_of_a_shared_rule_are_spread_by_weight() -> None:
    rule = Rule(
        name="n/r/rule/0",
        route="n/r",
        token="one",
        plan="attempt",
        backends=(),
        shares=(Share("one", 3000), Share("two", 1000)),
    )
    ready = snapshot.ReadyRule(rule, {}, CostTable((), "rule"))
    drawn = Counter(ready.token(f"0-{number:x}") for number in range(4000))
    assert set(drawn) == {"one", "two"}
    assert 2800 < drawn["one"] < 3200
    assert ready.token("0-1") == ready.token("0-1")
