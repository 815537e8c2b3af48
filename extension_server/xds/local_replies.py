"""Gives clients an error that they can read where Envoy answers and the filter cannot put it into their format.

Answers of Envoy's own pass the filter, with two exceptions: there is no filter process, or it ended or fell silent with
the request in its hands; and the provider's answer broke off, after the filter had seen (and held back) its headers.
"""

from dataclasses import dataclass
from typing import Final

from extension_server.xds import pool
from extension_server.xds.pool import Fields
from extension_server.xds.resources import Mediation, Resources, ai_connection_managers
from filters.contract import jsonlib

_CEL: Final = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_NAME: Final = "aigw/unseen-answers"
_GAVE_UP: Final = "response.code_details.startsWith('ext_proc_error')"


@dataclass(frozen=True, slots=True)
class _Answer:
    condition: str
    """in CEL"""
    type: str
    code: str
    message: str
    status: int | None = None
    """None: as Envoy answers"""


_ANSWERS: Final = (
    _Answer(
        f"{_GAVE_UP} && response.code == 504",
        "GatewayTimeout",
        "filter_timeout",
        "the AI gateway's filter did not answer in time; try again, and look at its log if this goes on",
    ),
    _Answer(
        f"{_GAVE_UP} && response.code_details.contains('no_healthy_upstream')",
        "ServiceUnavailable",
        "filter_missing",
        "no filter of the AI gateway runs beside this Envoy, so nothing is sent to a provider: in Kubernetes, the "
        "proxy's pod has no filter container, or it does not start (`aigw doctor` says why); with `aigw run`, look at "
        "the log",
        status=503,
    ),
    _Answer(
        _GAVE_UP,
        "InternalServerError",
        "filter_unavailable",
        "the AI gateway's filter ended while it held this request; try again",
    ),
    _Answer(
        "response.code_details.startsWith('upstream_reset_after_response_started')",
        "BadGateway",
        "answer_truncated",
        "the connection to the provider broke in the middle of its answer",
    ),
)
"""The first whose condition holds answers."""


def patch(resources: Resources, mediation: Mediation) -> None:
    for network_filter, manager in ai_connection_managers(resources, mediation):
        mappers = manager.local_reply_config.mappers
        if any(mapper.filter.extension_filter.name == _NAME for mapper in mappers):
            continue
        # Ours first: they name causes that no other mapper can know of.
        ours = pool.message(
            pool.HTTP_CONNECTION_MANAGER, local_reply_config={"mappers": [_mapper(answer) for answer in _ANSWERS]}
        )
        theirs = [*mappers]
        del mappers[:]
        mappers.extend([*ours.local_reply_config.mappers, *theirs])
        pool.replace(network_filter.typed_config, manager)


def _mapper(answer: _Answer) -> Fields:
    error = {"type": answer.type, "code": answer.code, "message": answer.message}
    body = jsonlib.encode({"type": "error", "error": error}).decode()
    expression = pool.packed(_CEL, expression=answer.condition)
    return {
        "filter": {"extension_filter": {"name": _NAME, "typed_config": expression}},
        **({} if answer.status is None else {"status_code": {"value": answer.status}}),
        # `text_format` reads `%` as an operator; there is none in these sentences.
        "body_format_override": {
            "text_format_source": {"inline_string": body},
            "content_type": "application/json",
        },
    }
