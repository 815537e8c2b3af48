"""The screen of `aigw explain`."""

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from aigw.commands.exchange import Answer
from aigw.commands.explain import Explained, Explanation, Sent
from aigw.commands.facts import BackendFacts, CredentialSource, RuleFacts
from aigw.commands.output import counted
from aigw.commands.screens.base import heading, marked, pairs


def draw(console: Console, explanation: Explanation) -> None:
    heading(console, explanation.file, f"Gateway {explanation.gateway}")
    for warning in explanation.warnings:
        marked(console, "warning", warning)
    for each in explanation.requests:
        console.print()
        _request(console, each)
    for rule in explanation.rules:
        console.print()
        _rule(console, rule)
    if not explanation.requests:
        console.print()
        console.print(
            counted(len(explanation.rules), "rule")
            + ". Add --model, --host, --path, --header or --body to follow one request.",
            style="dim",
        )


# ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _request(console: Console, one: Explained) -> None:
    made_up = "  (no body given: a plain one)" if one.sample else ""
    heading(console, "Request", f"POST {one.path}{made_up}")
    rows = [("listener", one.listener), ("host", _host(one)), ("model", one.model)]
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
    plan = Text(rule.plan, style="cyan")
    plan.append(f"  {rule.reason}", style="dim")
    pairs(
        console,
        [
            ("hosts", "\n".join(rule.hosts) or "none: no listener takes the route"),
            ("matches", "\n".join(rule.matches)),
            ("plan", plan),
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
    if not backend.used:
        line.append("  not used: its weight is 0, or the reference cannot be resolved", style="yellow")
    elif backend.priority:
        line.append(f"  fallback, priority {backend.priority}, weight {backend.weight}", style="dim")
    else:
        line.append(f"  weight {backend.weight} of {total}", style="dim")
    marked(console, "ok" if backend.used else "warning", line)
    pairs(
        console,
        [
            ("schema", backend.schema),
            ("endpoints", "\n".join(backend.endpoints)),
            ("model", f"{backend.model_override} (in place of the client's)" if backend.model_override else ""),
            ("path", _paths(backend)),
            ("credential", _credential(backend.credential)),
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
