"""`aigw explain`: every rule of a file, or what happens to one request: matches, plan, backends, what a provider gets.

The request goes through the exchange that serves clients (`exchange`), matches are tried by the matching that serves
them (`matching`); this module only puts the answers beside each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aigw.commands import exchange, facts, matching, redaction
from aigw.commands.exchange import Answer, Filters, Request, Upstream
from aigw.commands.facts import RuleFacts
from aigw.commands.inputs import Judged, UnusableInput
from aigw.commands.matching import Tried
from aigw.commands.redaction import Redactor
from aigw.commands.report import Problem, Severity, worst
from aigw.standalone.validate import Served
from extension_server.api import gateway as gw
from extension_server.compile import hostnames
from filters.contract import jsonlib
from filters.contract.config import Listener
from filters.contract.headers import Headers
from filters.runtime.patterns import wire

_NO_ROUTES: Final = exchange.Outcome(
    rule="",
    answer=Answer(
        status=404,
        code="not_found",
        message="no AI route is attached to this listener; Envoy answers without the filter",
        param="",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request as the command line gives it."""

    model: str | None = None
    host: str | None = None
    path: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """names in lower case"""
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one backend would get; with `refusal` it gets nothing and the client gets that."""

    backend: str
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    """JSON as plain values, else text"""
    dropped: tuple[str, ...]
    refusal: Answer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One request at one listener."""

    listener: str
    host: str
    path: str
    model: str
    domain: str
    """of the virtual host; empty: no route serves the host"""
    tried: tuple[Tried, ...]
    rule: RuleFacts | None
    answer: Answer | None
    """the gateway answers itself"""
    sent: tuple[Sent, ...]
    sample: bool
    """no body was given: a plain one was made up"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    file: str
    gateway: str
    verdict: Severity
    """the worst of the problems"""
    problems: tuple[Problem, ...]
    """an error: what it is about is not served, by a cluster either"""
    warnings: tuple[str, ...]
    not_looked_at: tuple[str, ...]
    """objects of kinds that have no part in it"""
    rules: tuple[RuleFacts, ...]
    """every rule, when no request was given"""
    requests: tuple[Explained, ...]
    """the request, at each listener that could take it"""

    @property
    def served(self) -> bool:
        """Whether some listener brings the request to a provider, or there is none to bring."""
        return not self.requests or any(
            each.answer is None and any(sent.refusal is None for sent in each.sent) for each in self.requests
        )


def explain(judged: Judged, environment: Mapping[str, str], question: Question | None) -> Explanation:
    """Raises UnusableInput for a question that is no request."""
    served = judged.served
    compiled = served.world.compiled
    redactor = redaction.of(served.loaded.snapshot, compiled.filter_config, environment)
    try:
        filters = Filters(compiled.filter_config, compiled.document)
    except ValueError as exc:
        raise UnusableInput(f"{served.loaded.file}: {redactor.text(str(exc))}") from exc
    problems = redactor.problems(judged.problems)
    rules = facts.of_rules(served, filters, redactor, problems)
    requests: tuple[Explained, ...] = ()
    if question is not None:
        requests = _requests(served, filters, redactor, question, {rule.rule: rule for rule in rules})
    return Explanation(
        file=served.loaded.file,
        gateway=f"{compiled.gateway.namespace}/{compiled.gateway.name}",
        verdict=worst(each.severity for each in problems),
        problems=problems,
        warnings=tuple(redactor.text(each) for each in judged.warnings),
        not_looked_at=judged.not_looked_at,
        rules=rules if question is None else (),
        requests=requests,
    )


def _requests(
    served: Served, filters: Filters, redactor: Redactor, question: Question, rules: Mapping[str, RuleFacts]
) -> tuple[Explained, ...]:
    listeners = {listener.name: listener for listener in filters.config.listeners}
    hosts = facts.host_names(served)
    explained = []
    for name, gateways in facts.listeners(served.world).items():
        host = question.host or _host(listeners.get(name), gateways)
        if _reaches(gateways, host):
            listener = listeners.get(name) or Listener(name, ())
            explained.append(_request(filters, redactor, question, listener, host, rules, hosts))
    if not explained:
        raise UnusableInput(f"{served.loaded.file}: no listener of the Gateway takes host {question.host}")
    # Listeners that would refuse it only because it is meant for another one say nothing.
    return tuple([each for each in explained if each.rule is not None] or explained[:1])


def _host(listener: Listener | None, gateways: tuple[gw.Listener, ...]) -> str:
    """A host that the listener serves: any will do when it serves all, else the first that it names."""
    domains = [domain for host in (listener.virtual_hosts if listener else ()) for domain in host.domains]
    first = domains[0] if domains else gateways[0].hostname or hostnames.ANY
    return "localhost" if hostnames.ANY in (*domains, first) else first.replace("*", "any")


def _reaches(gateways: tuple[gw.Listener, ...], host: str) -> bool:
    return any(hostnames.covers(each.hostname or hostnames.ANY, host.partition(":")[0].lower()) for each in gateways)


def _request(
    filters: Filters,
    redactor: Redactor,
    question: Question,
    listener: Listener,
    host: str,
    rules: Mapping[str, RuleFacts],
    hosts: Mapping[str, str],
) -> Explained:
    path = question.path or filters.sample_path()
    body, model = _body(filters, question, path)
    head = exchange.head(path, host, question.headers)
    outcome = _NO_ROUTES
    if listener.virtual_hosts:
        outcome = filters.send(listener.name, Request(headers=head, body=body), hosts)
    traced = matching.trace(listener, host, Headers(head), model)
    return Explained(
        listener=listener.name,
        host=host,
        path=path,
        model=model,
        domain=traced.domain,
        tried=traced.tried if model else (),
        rule=rules.get(outcome.rule) or (rules.get(traced.tried[-1].rule) if _refused(outcome, traced) else None),
        answer=outcome.answer,
        sent=tuple(_sent(each, redactor, filters) for each in outcome.upstreams),
        sample=question.body is None,
    )


def _refused(outcome: exchange.Outcome, traced: matching.Trace) -> bool:
    """A rule was found, and its backend cannot serve the request."""
    not_routed = outcome.answer is None or outcome.answer.code not in ("model_not_found", "unknown_path")
    return not_routed and bool(traced.tried) and traced.tried[-1].matches


def _body(filters: Filters, question: Question, path: str) -> tuple[bytes, str]:
    """The body to send, and the model that it asks for. Raises UnusableInput."""
    if question.body is None:
        model = question.model or exchange.SAMPLE_MODEL
        endpoint = filters.paths().get(path.partition("?")[0], "")
        return exchange.sample(endpoint, model) or jsonlib.encode({"model": model}), model
    body = question.body
    try:
        members = jsonlib.members(body)
        if question.model is not None:
            return jsonlib.replace_member(body, members, "model", jsonlib.encode(question.model)), question.model
        asked = jsonlib.decode(members["model"], object) if "model" in members else ""
    except jsonlib.JsonError:
        # The gateway's own answer says what is wrong with it.
        return body, ""
    return body, asked if isinstance(asked, str) else ""


def _sent(upstream: Upstream, redactor: Redactor, filters: Filters) -> Sent:
    headers = dict(upstream.headers)
    config = next(each for each in filters.config.backends if each.name == upstream.backend)
    return Sent(
        backend=config.short_name,
        method=headers.pop(":method", ""),
        path=headers.pop(":path", ""),
        headers={name: redactor.named(name, value) for name, value in headers.items() if name != ":scheme"},
        body=redactor.tree(_readable(upstream.body)),
        dropped=upstream.dropped,
        refusal=upstream.refusal,
    )


def _readable(body: bytes) -> Any:
    if not body:
        return None
    try:
        return jsonlib.decode(body, object)
    except jsonlib.JsonError:
        return body.decode(errors="replace")


def header(text: str) -> tuple[str, str]:
    """`name: value` of the command line. Raises UnusableInput."""
    name, colon, value = text.partition(":")
    name = name.strip().lower()
    if not colon or not name or not all(each.isalnum() or each in "!#$%&'*+-.^_`|~" for each in name):
        raise UnusableInput("--header: write it as 'name: value'")
    return name, wire(value.strip())
