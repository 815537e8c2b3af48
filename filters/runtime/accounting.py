"""What one request used and cost: seen on the way, told once.

Token counts go into dynamic metadata with the very reply in which they are first known, so that a client who hangs up
afterwards is still charged. The metrics get one record per request, when it is over, however it ends.
Keys: observability chapter §11.2.
"""

from typing import Final

from filters.contract.config import METADATA_NAMESPACE
from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.runtime.attempt import Attempt, ClientRequest
from filters.runtime.clock import Clock
from filters.runtime.costs import Facts
from filters.runtime.snapshot import ReadyRule
from filters.telemetry.record import OPERATION_NAMES, Labels, Recorder, RequestRecord

Metadata = dict[str, dict[str, str | float | int | bool]]

_NOTHING: Final = Usage()


class Accounting:
    """One request's books. A retry opens a new page: only the last attempt's answer reaches the client."""

    __slots__ = (
        "_attempt",
        "_clock",
        "_error",
        "_first",
        "_over",
        "_recorder",
        "_request",
        "_response_model",
        "_rule",
        "_start",
        "_told",
        "_usage",
    )

    def __init__(self, request: ClientRequest, rule: ReadyRule, attempt: Attempt, clock: Clock, recorder: Recorder):
        self._request = request
        self._rule = rule
        self._clock = clock
        self._recorder = recorder
        self._over = False
        self.begin(attempt)

    def begin(self, attempt: Attempt) -> None:
        """`attempt` is on its way, whatever was before it."""
        self._attempt = attempt
        self._start = self._clock.monotonic()
        self._first: float | None = None
        self._usage: Usage | None = None
        self._response_model = ""
        self._error = ""
        self._told = False
        if attempt.dropped:
            self._recorder.dropped(attempt.backend.config.schema.name, len(attempt.dropped))

    def identity(self) -> dict[str, str | float | int | bool]:
        """Who serves this request: known from the start."""
        backend = self._attempt.backend.config
        return {
            "backend_name": backend.name,
            "ai_service_backend_name": backend.short_name,
            "model_name_override": self._attempt.model,
            "route_name": self._rule.config.route,
        }

    def see(self, output: Output, *, end: bool = False) -> Metadata | None:
        """Notes what one piece of the answer tells. Returns the metadata to send with it, if it told of tokens, or if
        it is the last of an answer that told of none."""
        if output.model:
            self._response_model = output.model
        if output.content and self._first is None:
            self._first = self._clock.monotonic() - self._start
        if output.failure is not None:
            self.fail(output.failure.code)
        news = output.usage is not None and output.usage != self._usage
        if news:
            assert output.usage is not None
            self._usage = output.usage if self._usage is None else self._usage.merged(output.usage)
        if news or (end and not self._told and not self._error):
            self._told = True
            return {METADATA_NAMESPACE: self._numbers()}
        return None

    def fail(self, error: str) -> None:
        """Something went wrong; the first cause counts."""
        self._error = self._error or error

    def close(self) -> None:
        """The request is over. Only the first call counts."""
        if self._over:
            return
        self._over = True
        attempt = self._attempt
        self._recorder.request(
            RequestRecord(
                labels=Labels(
                    operation=OPERATION_NAMES.get(self._request.endpoint.name, self._request.endpoint.name),
                    provider=attempt.backend.provider_name,
                    original_model=self._request.parsed.model,
                    request_model=attempt.model,
                    response_model=self._response_model or ("unknown" if self._error else attempt.model),
                ),
                duration=self._clock.monotonic() - self._start,
                usage=self._usage,
                error=self._error,
                first_token=self._first if self._request.parsed.stream else None,
                per_output_token=self._per_output_token() if self._request.parsed.stream else None,
            )
        )

    def _numbers(self) -> dict[str, str | float | int | bool]:
        # In plan `single` the request's reply has told the identity already.
        members = self.identity() if self._rule.config.plan == "attempt" else {}
        # A provider that names no model in its answer answers with the one that was asked for.
        members["response_model"] = self._response_model or self._attempt.model
        if self._request.parsed.stream and self._first is not None:
            members["token_latency_ttft"] = round(self._first * 1000)
            per_token = self._per_output_token()
            if per_token is not None:
                members["token_latency_itl"] = per_token * 1000
        facts = Facts(
            model=self._attempt.model, backend=self._attempt.backend.config.name, route=self._rule.config.route
        )
        costs = self._rule.costs.evaluate(self._usage or _NOTHING, facts)
        members.update(costs.values)
        for key in costs.failed:
            self._recorder.cost_failure(key)
        return members

    def _per_output_token(self) -> float | None:
        """Seconds per token after the first. Providers tell the count at the end, so now is the end."""
        if self._first is None or self._usage is None or self._usage.output is None or self._usage.output < 2:
            return None
        return (self._clock.monotonic() - self._start - self._first) / (self._usage.output - 1)
