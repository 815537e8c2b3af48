"""What a filter is sent: the change from what it has, all of it when that is not known, nothing twice encoded."""

from extension_server.push.feed import REMEMBERED, Feed
from filters.contract import push
from tests.support.push import EDGE, OTHER, compiled
from tests.unit.filters.contract.test_push import same, state


def test_a_filter_gets_what_changed_since_any_state_that_is_remembered() -> None:
    feed = Feed()
    for count in range(1, REMEMBERED + 2):
        feed.put(compiled(EDGE, list(range(count))))
    newest = state(list(range(REMEMBERED + 1)))
    assert feed.newest(EDGE) == push.state_of(newest)
    for count, whole in ((1, True), (2, False), (REMEMBERED, False)):
        old = state(list(range(count)))
        change = push.decode_update(feed.update(EDGE, push.state_of(old)))
        assert (change.base == push.NOTHING) is whole
        assert same(push.apply(change, old), newest)


def test_an_update_is_encoded_once_until_something_changes() -> None:
    feed = Feed()
    feed.put(compiled(EDGE, [1]))
    first = feed.update(EDGE, push.NOTHING)
    assert feed.update(EDGE, push.State("unknown", "state")) is first
    feed.put(compiled(EDGE, [1]))
    assert feed.update(EDGE, push.NOTHING) is first
    feed.put(compiled(EDGE, [1], "new"))
    assert feed.update(EDGE, push.NOTHING) is not first


def test_a_state_that_comes_back_is_the_newest_again() -> None:
    feed = Feed()
    for numbers in ([1], [2], [1]):
        feed.put(compiled(EDGE, numbers))
    assert feed.newest(EDGE) == push.state_of(state([1]))


def test_gateways_are_apart() -> None:
    feed = Feed()
    assert feed.newest(EDGE) is None
    feed.put(compiled(EDGE, [1]))
    assert feed.newest(OTHER) is None
    feed.remove(EDGE)
    feed.remove(OTHER)
    assert feed.newest(EDGE) is None


def test_streams_are_woken_by_a_change_only() -> None:
    feed = Feed()
    waiting = feed.changed
    feed.put(compiled(EDGE, [1]))
    assert waiting.is_set()
    waiting = feed.changed
    feed.put(compiled(EDGE, [1]))
    assert not waiting.is_set()
