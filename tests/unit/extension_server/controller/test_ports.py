"""What filters say they run, and what they can be taken to have besides."""

from extension_server.compile.result import ObjectRef
from extension_server.controller.ports import ReportedFilters
from filters.contract.push import KEPT_SECONDS

GATEWAY = ObjectRef("Gateway", "default", "gw")


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
