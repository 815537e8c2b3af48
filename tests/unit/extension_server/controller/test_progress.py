"""Whose status is looked at when a filter says what it runs."""

from extension_server.compile.result import ObjectRef
from extension_server.controller.ports import ReportedFilters
from extension_server.controller.progress import Progress
from tests.unit.extension_server.controller.objects import CHAT, EDGE, WORLD, Both, documents

SECOND = ObjectRef("AIGatewayRoute", "n", "second")


class Scene(Both):
    """A Gateway with one route, and one filter of it that runs its configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.reports = ReportedFilters()
        self.progress = Progress(self.world, self.reports)
        self.put(*documents(WORLD))
        self.run("filter")

    def run(self, name: str) -> None:
        """The filter runs what is newest."""
        compiled = self.world.compiled(EDGE)
        assert compiled is not None
        self.reports.report(EDGE, name, compiled.config_hash)

    def add_second(self) -> None:
        route = documents(WORLD)[4]
        route["metadata"]["name"] = SECOND.name
        self.put(route)

    @property
    def news(self) -> set[ObjectRef]:
        return self.progress.news(EDGE)


def test_at_first_it_is_every_route_and_then_none() -> None:
    scene = Scene()
    assert scene.news == {CHAT}
    assert scene.news == set()


def test_a_newer_configuration_concerns_the_routes_that_are_new_in_it() -> None:
    scene = Scene()
    assert scene.news == {CHAT}
    scene.add_second()
    assert scene.news == set()
    scene.run("filter")
    assert scene.news == {SECOND}


def test_the_slowest_filter_counts() -> None:
    scene = Scene()
    scene.run("other")
    assert scene.news == {CHAT}
    scene.add_second()
    scene.run("filter")
    assert scene.news == set()
    scene.run("other")
    assert scene.news == {SECOND}


def test_a_filter_that_refuses_or_goes_concerns_every_route() -> None:
    scene = Scene()
    assert scene.news == {CHAT}
    scene.reports.trouble(EDGE, "filter", "it cannot be built")
    assert scene.news == {CHAT}
    scene.reports.trouble(EDGE, "filter", "")
    assert scene.news == {CHAT}
    scene.reports.settle()
    scene.reports.gone(EDGE, "filter")
    assert scene.news == {CHAT}
    assert scene.news == set()


def test_a_filter_that_no_envoy_asks_concerns_every_route() -> None:
    scene = Scene()
    assert scene.news == {CHAT}
    pod = ObjectRef("Pod", "n", "p")
    scene.reports.report_unasked(EDGE, "filter", pod, long=False)
    assert scene.news == set()
    scene.reports.report_unasked(EDGE, "filter", pod, long=True)
    assert scene.news == {CHAT}
    assert scene.news == set()
    scene.reports.asked(EDGE, "filter")
    assert scene.news == {CHAT}


def test_a_gateway_that_was_gone_begins_anew() -> None:
    scene = Scene()
    assert scene.news == {CHAT}
    scene.progress.forget(EDGE)
    assert scene.news == {CHAT}
