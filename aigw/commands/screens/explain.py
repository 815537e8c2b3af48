"""The screen of `aigw explain`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from aigw.commands.exchange import Answer
from aigw.commands.explain import Explained, Explanation, Sent
from aigw.commands.facts import BackendFacts, CredentialSource, RuleFacts
from aigw.commands.report import Problem, counted, worst
from aigw.commands.screens.base import conclusion, heading, marked, objects, pairs, problem


def draw(console: Console, explanation: Explanation) -> None:
    heading(console, explanation.file, f"Gateway {explanation.gateway}")
    told = _told(explanation)
    objects(console, told.above)
    if explanation.not_looked_at and not explanation.requests:
        marked(console, "note", f"not looked at: {', '.join(explanation.not_looked_at)}")
    for listeners, each in _alike(explanation.requests):
        console.print()
        _request(console, each, listeners)
    for rule in explanation.rules:
        console.print()
        _rule(console, rule)
    if not explanation.requests:
        console.print()
        more = ". Add --model, --host, --path, --header or --body to follow one request." if explanation.rules else ""
        console.print(f"{counted(len(explanation.rules), 'rule')}{more}", style="dim")
    errors = sum(each.severity == "error" for each in explanation.problems)
    if errors:
        text = f"{counted(errors, 'error')}: a cluster serves the rest, as shown; aigw run does not start"
        if told.hidden:
            text += f"; without a request: {counted(told.hidden, 'more problem')}, of other rules and objects"
        console.print()
        conclusion(console, "error", text)


@dataclass(frozen=True, slots=True)
class _Told:
    above: tuple[Problem, ...]
    """problems to show before everything else"""
    hidden: int
    """how many are about other things than the request"""


def _told(explanation: Explanation) -> _Told:
    """Problems that are shown beside a rule or a backend are not shown twice; of one request that is served by a rule,
    only what may have to do with it is."""
    rules = (*explanation.rules, *(each.rule for each in explanation.requests if each.rule is not None))
    beside = {
        problem for rule in rules for problem in (*rule.problems, *(each for b in rule.backends for each in b.problems))
    }
    others = tuple(each for each in explanation.problems if each not in beside)
    if not explanation.requests or any(each.rule is None for each in explanation.requests):
        return _Told(others, 0)
    near = tuple(each for each in others if each.object in ("", f"Gateway {explanation.gateway}"))
    return _Told(near, len(others) - len(near))


def _alike(requests: Sequence[Explained]) -> Iterable[tuple[list[str], Explained]]:
    """What comes to the same at several listeners is shown once."""
    found: list[tuple[list[str], Explained]] = []
    for each in requests:
        same = next((names for names, other in found if replace(each, listener=other.listener) == other), None)
        if same is not None:
            same.append(each.listener)
        else:
            found.append(([each.listener], each))
    return found


# ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _request(console: Console, one: Explained, listeners: Sequence[str]) -> None:
    made_up = "  (no body given: a plain one)" if one.sample else ""
    heading(console, "Request", f"POST {one.path}{made_up}")
    rows = [("listener", ", ".join(listeners)), ("host", _host(one)), ("model", one.model)]
    pairs(console, rows)
    console.print()
    if one.tried:
        heading(console, "Matches, as they are tried")
    for tried in one.tried:
        line = Text(tried.rule, style="bold" if tried.matches else "")
        line.append(f"  {tried.match}", style="" if tried.matches else "dim")
        if tried.why:
            line.append(f"\n{tried.why}", style="dim")
        marked(console, "ok" if tried.matches else "note", line)
    if one.tried:
        console.print()
    if one.rule is not None:
        _rule(console, one.rule)
        console.print()
    if one.answer is not None:
        heading(console, "The gateway answers itself")
        _answer(console, one.answer)
    for number, sent in enumerate(one.sent):
        if number:
            console.print()
        _sent(console, sent)


def _host(one: Explained) -> str:
    if not one.domain:
        return f"{one.host}: no route serves it here"
    return one.host if one.domain == one.host else f"{one.host} (served as {one.domain})"


def _answer(console: Console, answer: Answer) -> None:
    line = Text(f"{answer.status} {answer.code}", style="bold")
    if answer.param:
        line.append(f"  {answer.param}", style="dim")
    line.append(f"\n{answer.message}")
    marked(console, "error", line)


def _sent(console: Console, sent: Sent) -> None:
    heading(console, f"What {sent.backend} gets")
    if sent.refusal is not None:
        _answer(console, sent.refusal)
        return
    line = Text(f"{sent.method} {sent.path}", style="green")
    console.print(Padding(line, (0, 0, 0, 2)), soft_wrap=True)
    pairs(console, list(sent.headers.items()))
    if sent.body is not None:
        text = sent.body if isinstance(sent.body, str) else _json(sent.body)
        console.print()
        console.print(Padding(Text(text), (0, 0, 0, 2)))
    if sent.dropped:
        marked(console, "warning", f"left out, because the provider has nothing for it: {', '.join(sent.dropped)}")


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule(console: Console, rule: RuleFacts) -> None:
    heading(console, f"Rule {rule.rule}")
    if not rule.served:
        why = "requests for it are answered with 503"
        if not rule.hosts:
            why = "no request can match it" if rule.problems else "no listener takes the route"
        marked(console, "error", f"not served: {why}")
    for each in rule.problems:
        problem(console, each)
    plan = Text(rule.plan, style="cyan")
    plan.append(f"  {rule.reason}", style="dim")
    pairs(
        console,
        [
            ("hosts", "\n".join(rule.hosts) or "none"),
            ("matches", "\n".join(rule.matches)),
            ("plan", plan if rule.served else ""),
            ("costs", "\n".join(rule.costs)),
            ("timeouts", _pairs(rule.timeouts)),
            ("retries", _pairs(rule.retries).replace(",", ", ").replace(",  ", ", ")),
            ("policies", "\n".join(rule.policies)),
        ],
    )
    total = sum(backend.weight for backend in rule.backends if backend.used and backend.priority == 0)
    for backend in rule.backends:
        _backend(console, backend, total)


def _backend(console: Console, backend: BackendFacts, total: int) -> None:
    line = Text(backend.backend, style="bold")
    severity = worst(("ok" if backend.used else "note", *(each.severity for each in backend.problems)))
    if not backend.used and severity == "error":
        line.append("  cannot be used", style="red")
    elif not backend.used:
        why = "its weight is 0" if backend.weight == 0 else "the rule is not served"
        line.append(f"  not used: {why}", style="yellow")
    elif backend.priority:
        line.append(f"  fallback, priority {backend.priority}, weight {backend.weight}", style="dim")
    else:
        line.append(f"  weight {backend.weight} of {total}", style="dim")
    marked(console, severity, line)
    for each in backend.problems:
        problem(console, each, named=each.object.startswith("AIGatewayRoute "))
    pairs(
        console,
        [
            ("schema", backend.schema),
            ("endpoints", "\n".join(backend.endpoints)),
            ("model", f"{backend.model_override} (in place of the client's)" if backend.model_override else ""),
            ("path", _paths(backend)),
            ("credential", _credential(backend.credential) if backend.used or backend.credential.type else ""),
            ("headers", _mutation(backend.header_mutation)),
            ("body", _mutation(backend.body_mutation)),
        ],
        indent=4,
    )


def _paths(backend: BackendFacts) -> str:
    if not backend.path:
        return backend.refusal
    return backend.path if backend.stream_path == backend.path else f"{backend.path}\n{backend.stream_path} (streams)"


def _credential(source: CredentialSource) -> str:
    if not source.type:
        return "none: the client's own goes through"
    sent = f", sent as {source.header}" if source.header else ""
    return f"{source.type} from {source.secret or 'the policy'}{sent}\nBackendSecurityPolicy {source.policy}"


def _mutation(mutation: dict[str, str | None]) -> str:
    return "\n".join(
        f"{name} = {value}" if value is not None else f"{name} removed" for name, value in mutation.items()
    )


def _pairs(members: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in members.items())
