"""Credentials: always the newest, whatever snapshot a request uses; what is missing sends nothing."""

import msgspec
import pytest

from filters.contract import config
from filters.contract.config import FilterConfig, HeaderCredential
from filters.contract.secret import Secret
from filters.errors import Unavailable
from filters.extproc.messages import ImmediateReply
from filters.runtime.credentials import Credentials
from filters.runtime.errors import ConfigError
from filters.runtime.snapshot import Builder, Snapshot
from filters.runtime.store import SnapshotStore
from tests.support.gateway import Gateway, backend, configuration, request


def document(name: str, value: str, root: str = "/") -> FilterConfig:
    whole = configuration(backend(name, credential=HeaderCredential("x-api-key", Secret(value))))
    return msgspec.structs.replace(whole, root_prefix=root)


@pytest.fixture
def store() -> SnapshotStore:
    credentials = Credentials()
    return SnapshotStore(Builder(providers={}, endpoints=(), credentials=credentials), credentials, kept=2)


def load(store: SnapshotStore, wanted: FilterConfig) -> Snapshot:
    store.load(config.encode(wanted))
    assert store.newest is not None
    return store.newest


def key(snapshot: Snapshot) -> str:
    """What a request by that snapshot sends now."""
    rule = snapshot.listeners["http-10080"].find("h", request().headers, "m")
    assert rule is not None
    authenticator = rule.sole().authenticator
    assert authenticator is not None
    return dict(authenticator.sign(method="", path="", host="", body=b"", now=0.0))["x-api-key"]


def test_an_older_snapshot_sends_the_newest_value(store: SnapshotStore) -> None:
    old = load(store, document("n/a", "one"))
    new = load(store, document("n/a", "two", root="/ai"))
    assert old is not new
    assert (key(old), key(new)) == ("two", "two")


def test_a_new_value_alone_keeps_the_snapshot(store: SnapshotStore) -> None:
    old = load(store, document("n/a", "one"))
    before = store.credentials_hash
    assert load(store, document("n/a", "two")) is old
    assert store.credentials_hash != before
    assert key(old) == "two"


def test_what_only_an_older_snapshot_names_serves_it_until_that_is_forgotten(store: SnapshotStore) -> None:
    old = load(store, document("n/a", "one"))
    load(store, document("n/b", "two"))
    assert key(old) == "one"
    load(store, document("n/c", "three"))
    with pytest.raises(Unavailable, match="credential is not available"):
        key(old)


def test_what_the_newest_snapshot_names_and_has_no_more_is_gone_for_all(store: SnapshotStore) -> None:
    old = load(store, document("n/a", "one"))
    load(store, msgspec.structs.replace(document("n/a", "one", root="/ai"), credentials={}))
    with pytest.raises(Unavailable):
        key(old)


def test_a_value_that_cannot_be_sent_leaves_everything_as_it_was(store: SnapshotStore) -> None:
    old = load(store, document("n/a", "one"))
    with pytest.raises(ConfigError, match="credential n/a: empty, or with characters"):
        load(store, document("n/a", "one\n"))
    assert store.newest is old
    assert key(old) == "one"


def test_a_request_without_its_credential_is_answered_503_and_goes_nowhere() -> None:
    whole = document("n/a", "one")
    gateway = Gateway(msgspec.structs.replace(whole, credentials={}))
    reply = gateway.send(gateway.open())
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 503
    assert b'"no_credential"' in reply.body
