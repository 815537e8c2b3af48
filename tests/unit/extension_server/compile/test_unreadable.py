"""One expression that cannot be read closes its rule, and never the configuration of the whole Gateway."""

from extension_server.api import kinds
from extension_server.api.base import parse
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import Compiled, ObjectRef
from extension_server.compile.snapshot import Snapshot
from filters.runtime.matching import ListenerIndex
from tests.standalone import files

UNREADABLE = {"name": "x-ai-eg-model", "type": "RegularExpression", "value": "gem("}


def compiled(*matches: files.Document) -> Compiled:
    route = files.route({"plain": [{"name": "b"}]})
    route["spec"]["rules"].append(
        {"matches": [{"headers": [each]} for each in matches], "backendRefs": [{"name": "b"}]}
    )
    listener = {"name": "http", "protocol": "HTTP", "port": 1975}
    documents = [*files.gateway(listener), *files.backend("b", "OpenAI", 9), route]
    objects = [parse(kinds.model_of(each["apiVersion"], each["kind"]), each) for each in documents]
    return compile_gateway(Snapshot(objects), ObjectRef("Gateway", "default", "aigw"), token_key=b"k")


def matched(result: Compiled) -> list[tuple[str, str | None]]:
    (listener,) = result.filter_config.listeners
    ListenerIndex(listener, {rule.name: rule for rule in result.filter_config.rules})  # raises for what it cannot read
    return [(match.rule, match.model) for host in listener.virtual_hosts for match in host.matches]


def test_the_filter_gets_no_expression_that_it_cannot_read() -> None:
    result = compiled(UNREADABLE)
    assert [finding.reason for finding in result.findings] == ["InvalidRegex"]
    assert matched(result) == [("default/llm/rule/0", "plain")]


def test_other_matches_of_the_rule_stay_and_meet_the_closed_rule() -> None:
    result = compiled(UNREADABLE, {"name": "x-ai-eg-model", "value": "gemini"})
    assert matched(result) == [("default/llm/rule/0", "plain"), ("default/llm/rule/1", "gemini")]
    assert [bool(rule.backends) for rule in result.filter_config.rules] == [True, False]
