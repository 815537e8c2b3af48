"""Runs a case in this process: the translator alone, no Envoy, no sockets.

    python -m conformance fixtures [--provider bedrock]      rewrites the expected files (`make fixtures PROVIDER=…`)
    observe(case)                                            → Observation

The provider's answer is fed whole, byte by byte and at random cuts (fixed seed per case), and every way must show the
same. Content-encoding is removed on the way as the exchange does it.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Final

from conformance.case import GENERATED, Answer, Case
from conformance.observation import CREATED, REQUEST_ID, Accounting, Observation, SeenRequest, SeenResponse, files
from conformance.wiring import client_headers, credential_headers, endpoint_of, mutated_body, translator_for
from conformance.wiring import decoder_for as content_decoder
from filters.contract.config import DROPPED_HEADER
from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, Translator, UpstreamRequest
from filters.contract.usage import Usage
from filters.errors import GatewayError

RANDOM_RUNS: Final = 8
EXACT_LIMIT: Final = 200_000
"""Bytes of an answer up to which it is fed byte by byte; above that the random cuts alone must do."""


class Unstable(AssertionError):
    """The same answer, cut differently, gave the client something else."""


def observe(case: Case) -> Observation:
    """Runs `case` with every way of cutting. Raises Unstable when they disagree."""
    whole = _observe(case, ())
    if case.answer is None or whole.request is None:
        return whole
    for label, cuts in _cuttings(case, len(case.answer.body)):
        seen = _observe(case, cuts)
        if seen != whole:
            raise Unstable(f"{case.name}: cut {label}: {_where(whole, seen)}")
    return whole


def write_fixtures(case: Case) -> list[str]:
    """Rewrites the expected files of `case`, deletes stale ones; returns the names of those that changed."""
    wanted = files(observe(case))
    changed: list[str] = []
    for name in GENERATED:
        path = case.directory / name
        before = path.read_bytes() if path.is_file() else None
        if name in wanted and before != wanted[name]:
            path.write_bytes(wanted[name])
            changed.append(name)
        elif name not in wanted and before is not None:
            path.unlink()
            changed.append(name)
    return changed


def _cuttings(case: Case, length: int) -> Iterator[tuple[str, Sequence[int]]]:
    """Ways to cut `length` bytes: name, positions."""
    if length <= EXACT_LIMIT:
        yield "byte by byte", range(1, length)
    source = random.Random(case.seed)
    for number in range(RANDOM_RUNS):
        count = min(length - 1, source.randrange(1, 40)) if length > 1 else 0
        yield f"at random ({number})", sorted(source.sample(range(1, length), count))


def _where(whole: Observation, seen: Observation) -> str:
    if whole.accounting != seen.accounting:
        return f"counted {seen.accounting}, whole {whole.accounting}"
    if whole.response.status != seen.response.status or whole.response.headers != seen.response.headers:
        return "another response head"
    common = sum(1 for _ in _common_prefix(whole.response.body, seen.response.body))
    return f"the client's body differs from byte {common}: {seen.response.body[common : common + 80]!r}"


def _common_prefix(one: bytes, other: bytes) -> Iterator[None]:
    for left, right in zip(one, other, strict=False):
        if left != right:
            return
        yield None


def _observe(case: Case, cuts: Sequence[int]) -> Observation:
    endpoint = endpoint_of(case)
    try:
        parsed = endpoint.parse(case.client_body, case.client.sent_headers().get("content-type", ""))
        call = Call(
            body=case.client_body,
            members=parsed.members,
            headers=client_headers(case),
            model=case.backend.model_override or parsed.model,
            client_model=parsed.model,
            stream=parsed.stream,
            include_usage=parsed.include_usage,
            backend=case.backend,
            created=CREATED,
            request_id=REQUEST_ID,
        )
        translator = translator_for(case, call)
        upstream = translator.request()
    except GatewayError as error:
        return Observation(
            request=None,
            response=_error_response(endpoint.render_error(error), error),
            accounting=Accounting(failure=error.code),
        )
    request = _seen_request(case, call, upstream)
    if case.answer is None:
        raise AssertionError(f"{case.name}: a request reaches the provider, but there is no upstream_response file")
    conversation = _Conversation(case.answer, translator, upstream.dropped)
    try:
        conversation.run(cuts)
    except GatewayError as error:
        conversation.failure = error.code
        response = _error_response(endpoint.render_error(error), error)
    else:
        response = conversation.response()
    return Observation(request=request, response=response, accounting=conversation.accounting())


def _error_response(body: bytes, error: GatewayError) -> SeenResponse:
    return SeenResponse(status=error.status, headers={"content-type": "application/json"}, body=body)


def _seen_request(case: Case, call: Call, upstream: UpstreamRequest) -> SeenRequest:
    body = mutated_body(case, call.body if upstream.body is None else upstream.body)
    headers: dict[str, str | None] = dict.fromkeys(upstream.remove)
    headers.update(upstream.headers)
    headers.update(dict.fromkeys(case.backend.header_mutation.remove))
    headers.update(case.backend.header_mutation.set)
    headers.update(credential_headers(case, upstream.path, body))
    return SeenRequest(
        method="POST", path=upstream.path, headers=headers, body=body, unchanged=body == case.client_body
    )


class _Conversation:
    """The response half of one attempt, as the exchange leads it."""

    def __init__(self, answer: Answer, translator: Translator, dropped: tuple[str, ...]) -> None:
        self._answer = answer
        self._translator = translator
        self._dropped = dropped
        self._start = ResponseStart(body="pass")
        self._headers: dict[str, str | None] = dict(answer.headers)
        self._pieces: list[bytes] = []
        self._usage: Usage | None = None
        self._model = ""
        self.failure = ""

    def run(self, cuts: Sequence[int]) -> None:
        """Feeds the answer, cut at `cuts`. Raises UpstreamError for a whole answer that cannot be read."""
        self._start = self._translator.start(self._answer.status, Headers(self._head()))
        self._headers.update(dict.fromkeys(self._start.remove))
        self._headers.update(self._start.headers)
        if self._dropped:
            self._headers[DROPPED_HEADER] = ", ".join(self._dropped)
        coding = dict(self._answer.headers).get("content-encoding", "")
        decode = content_decoder(coding)
        if self._start.body == "stream" and coding:
            self._headers["content-encoding"] = None
        if self._start.body == "buffer":
            cuts = ()
        edges = (0, *cuts, len(self._answer.body))
        ends = self._answer.cut != "reset"
        for index, (left, right) in enumerate(itertools.pairwise(edges)):
            last = ends and index == len(edges) - 2
            plain = decode(self._answer.body[left:right], last)
            if self._start.body == "pass":
                self._pieces.append(plain)
            else:
                self._take(self._translator.feed(plain, end=last), plain)

    def _head(self) -> Iterator[tuple[str, str]]:
        yield ":status", str(self._answer.status)
        yield from self._answer.headers

    def _take(self, output: Output, plain: bytes) -> None:
        self._pieces.append(plain if output.body is None else output.body)
        if output.body is not None and self._start.body == "buffer" and "content-encoding" in self._headers:
            self._headers["content-encoding"] = None
        self._headers.update(output.headers)
        if output.usage is not None:
            self._usage = output.usage if self._usage is None else self._usage.merged(output.usage)
        self._model = output.model or self._model
        if output.failure is not None:
            self.failure = output.failure.code

    def response(self) -> SeenResponse:
        return SeenResponse(status=self._answer.status, headers=self._headers, body=b"".join(self._pieces))

    def accounting(self) -> Accounting:
        return Accounting(usage=self._usage, model=self._model, failure=self.failure, dropped=self._dropped)
