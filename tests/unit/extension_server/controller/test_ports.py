"""What filters say they run, and what they can be taken to have besides."""

from extension_server.compile.result import ObjectRef
from extension_server.controller.ports import ReportedFilters
from filters.contract.push import KEPT_SECONDS

GATEWAY = ObjectRef("Gateway", "default", "gw")
ONE, TWO = (ObjectRef("Pod", "envoy-gateway-system", name) for name in ("one", "two"))


def test_a_configuration_is_had_when_every_filter_runs_it_or_did_a_moment_ago() -> None:
    now = 0.0
    reports = ReportedFilters(lambda: now)
    assert reports.have(GATEWAY, "h1")
    reports.report(GATEWAY, "one", "h1")
    reports.report(GATEWAY, "two", "h1")
    assert reports.have(GATEWAY, "h1")
    assert not reports.have(GATEWAY, "h2")
    reports.report(GATEWAY, "one", "h2")
    assert not reports.have(GATEWAY, "h2")
    now = 10.0
    reports.report(GATEWAY, "two", "h2")
    assert reports.have(GATEWAY, "h1")
    assert reports.have(GATEWAY, "h2")
    now = KEPT_SECONDS
    reports.report(GATEWAY, "one", "h3")
    reports.report(GATEWAY, "two", "h3")
    assert not reports.have(GATEWAY, "h1")
    assert reports.have(GATEWAY, "h2")


def test_a_configuration_that_a_filter_passed_over_is_not_had() -> None:
    reports = ReportedFilters()
    for filter_id, ran in (("one", ("h1", "h2", "h3")), ("two", ("h1", "h3"))):
        for each in ran:
            reports.report(GATEWAY, filter_id, each)
    assert not reports.have(GATEWAY, "h2")
    assert reports.have(GATEWAY, "h3")
    reports.gone(GATEWAY, "two")
    assert reports.have(GATEWAY, "h2")


def test_a_filter_that_came_back_has_what_it_says_only() -> None:
    reports = ReportedFilters()
    reports.report(GATEWAY, "one", "h1")
    reports.report(GATEWAY, "one", "h2")
    reports.gone(GATEWAY, "one")
    reports.report(GATEWAY, "one", "h2")
    assert not reports.have(GATEWAY, "h1")


def test_a_filter_that_no_envoy_asks_is_doubted_first_and_believed_when_that_lasts() -> None:
    reports = ReportedFilters()
    doubts: list[ObjectRef] = []
    news: list[ObjectRef | None] = []
    reports.subscribe_doubts(doubts.append)
    reports.subscribe(news.append)
    reports.report_unasked(GATEWAY, "one", ONE, long=False)
    assert (doubts, news, reports.unasked(GATEWAY)) == ([GATEWAY], [], ())
    reports.report_unasked(GATEWAY, "one", ONE, long=True)
    reports.report_unasked(GATEWAY, "one", ONE, long=True)
    assert (doubts, news, reports.unasked(GATEWAY)) == ([GATEWAY], [GATEWAY], (ONE,))
    reports.asked(GATEWAY, "one")
    reports.asked(GATEWAY, "one")
    assert (news, reports.unasked(GATEWAY)) == ([GATEWAY, GATEWAY], ())
    reports.report_unasked(GATEWAY, "one", ONE, long=False)
    assert (doubts, reports.unasked(GATEWAY)) == ([GATEWAY, GATEWAY], ())


def test_what_lasts_when_a_controller_starts_is_believed_at_once_and_doubted_all_the_same() -> None:
    reports = ReportedFilters()
    doubts: list[ObjectRef] = []
    reports.subscribe_doubts(doubts.append)
    reports.report_unasked(GATEWAY, "one", ONE, long=True)
    assert (doubts, reports.unasked(GATEWAY)) == ([GATEWAY], (ONE,))


def test_a_new_pod_of_a_gateway_that_is_not_asked_is_believed_at_once() -> None:
    reports = ReportedFilters()
    reports.report_unasked(GATEWAY, "one", ONE, long=True)
    reports.report_unasked(GATEWAY, "two", TWO, long=False)
    reports.gone(GATEWAY, "one")
    assert reports.unasked(GATEWAY) == (TWO,)


def test_pods_whose_filter_no_envoy_asks_are_named_until_they_are_gone() -> None:
    reports = ReportedFilters()
    for filter_id, pod in (("two", TWO), ("one", ONE)):
        reports.report(GATEWAY, filter_id, "h1")
        reports.report_unasked(GATEWAY, filter_id, pod, long=True)
    assert reports.unasked(GATEWAY) == (ONE, TWO)
    reports.gone(GATEWAY, "one")
    assert reports.unasked(GATEWAY) == (TWO,)
