"""The install page from its first command to its last, on a cluster with pods; then what operations says to look at."""

from collections.abc import Iterator
from typing import Any

import pytest

from conformance.cluster.cluster import Cluster
from conformance.upstream import recorder
from filters.contract import jsonlib
from hack.lab.installation import Installation
from tests.e2e import reader, scene
from tests.e2e.reader import Reader
from tests.support import pages


@pytest.fixture(scope="module")
def through(cluster: Cluster, wanted: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has done everything that the page says."""
    cluster.load(wanted.archives)
    with reader.arrived(cluster, wanted, tmp_path_factory.mktemp("reader")) as arrived:
        arrived.walk()
        yield arrived


def shape(value: Any) -> Any:
    """Names of members, and types of values."""
    match value:
        case dict():
            return {name: shape(each) for name, each in value.items()}
        case list():
            return [shape(each) for each in value]
        case _:
            return type(value)


def test_every_block_of_the_page_was_run(through: Reader) -> None:
    assert {*through.blocks()} <= through.seen.outputs.keys()


def test_the_first_request_is_answered_as_the_page_shows(through: Reader) -> None:
    (text,) = (block.text for block in pages.blocks(pages.INSTALL) if block.language == "json")
    shown = jsonlib.decode(text.encode(), dict[str, Any])
    assert through.seen.answers
    for said in through.seen.answers:
        # A port that is forwarded in the same shell says so there.
        (line,) = (line for line in said.splitlines() if line.startswith("{"))
        answer = jsonlib.decode(line.encode(), dict[str, Any])
        assert shape(answer) == shape(shown)
        assert answer["model"] == shown["model"]
        assert answer["choices"][0]["message"]["content"] == recorder.ANSWER


def test_the_provider_gets_the_question_of_the_page_with_the_readers_key(through: Reader) -> None:
    assert len(through.seen.requests) == len(through.seen.answers)
    for request in through.seen.requests:
        assert scene.header(request, "authorization") == [f"Bearer {reader.KEY}"]
        assert '"What is 6 x 7?"' in request["body"]


def test_the_doctor_finds_nothing_wrong(cluster: Cluster, through: Reader) -> None:
    said = through.seen.outputs["aigw doctor --kubernetes\n"]
    balanced = cluster.gateway_service == "LoadBalancer"
    assert ("default/ai: programmed" if balanced else "default/ai is not programmed: No addresses") in said
    assert "✗" not in said


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("kubectl get aigatewayroutes -A -o wide", "PROGRAMMED"),
        ("kubectl describe gateway NAME", "Events:"),
        ("kubectl -n envoy-gateway-system get pods", "3/3"),
        ("kubectl -n envoy-gateway-system logs POD -c ai-gateway-extproc", "configuration"),
        ("aigw explain FILE", "BackendSecurityPolicy default/openai"),
    ],
)
def test_commands_of_the_operations_page_show_what_they_are_for(through: Reader, command: str, shown: str) -> None:
    assert shown in through.seen.outputs[command]


def test_of_envoy_gateways_log_nothing_is_shown_but_what_is_wrong_with_the_hooks(through: Reader) -> None:
    (said,) = (text for command, text in through.seen.outputs.items() if "sed -n '/skipped publishing" in command)
    assert said == "" or "failed to translate xds" in said or ":1063" in said


def test_the_lease_names_a_pod_of_the_controller(through: Reader) -> None:
    (said,) = (text for command, text in through.seen.outputs.items() if " get lease " in command)
    assert said.startswith("ai-gateway-controller-")


def test_the_network_policy_is_about_the_controller_and_every_port_of_it(through: Reader) -> None:
    policy, service = through.seen.policy["spec"], through.seen.service["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= service["selector"].items()
    allowed = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert allowed == {port["port"] for port in service["ports"]}


def test_certificates_that_are_thrown_away_are_made_anew(through: Reader) -> None:
    before, after = through.seen.certificates
    assert "" not in (before, after)
    assert before != after


def test_nothing_is_left_after_the_uninstall(through: Reader) -> None:
    assert through.seen.left.split() == []
