"""Gives clients an error that they can read where Envoy answers and the filter cannot put it into their format.

Answers of Envoy's own pass the filter, with two exceptions: the filter process ended or fell silent with the request in
its hands; and the provider's answer broke off, after the filter had seen (and held back) its headers.
"""

from typing import Final

from extension_server.xds import pool
from extension_server.xds.pool import Fields
from extension_server.xds.resources import Mediation, Resources, ai_connection_managers
from filters.contract import jsonlib

_CEL: Final = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_NAME: Final = "aigw/unseen-answers"
_GAVE_UP: Final = "response.code_details.startsWith('ext_proc_error')"

# (CEL condition, type, code, message); the first that holds answers
_ANSWERS: Final = (
    (
        f"{_GAVE_UP} && response.code == 504",
        "GatewayTimeout",
        "filter_timeout",
        "the AI gateway's filter did not answer in time; try again, and look at its log if this goes on",
    ),
    (
        _GAVE_UP,
        "InternalServerError",
        "filter_unavailable",
        "the AI gateway's filter ended while it held this request; try again",
    ),
    (
        "response.code_details.startsWith('upstream_reset_after_response_started')",
        "BadGateway",
        "answer_truncated",
        "the connection to the provider broke in the middle of its answer",
    ),
)


def patch(resources: Resources, mediation: Mediation) -> None:
    for network_filter, manager in ai_connection_managers(resources, mediation):
        mappers = manager.local_reply_config.mappers
        if any(mapper.filter.extension_filter.name == _NAME for mapper in mappers):
            continue
        # Ours first: they name causes that no other mapper can know of.
        ours = pool.message(
            pool.HTTP_CONNECTION_MANAGER, local_reply_config={"mappers": [_mapper(*answer) for answer in _ANSWERS]}
        )
        theirs = [*mappers]
        del mappers[:]
        mappers.extend([*ours.local_reply_config.mappers, *theirs])
        pool.replace(network_filter.typed_config, manager)


def _mapper(condition: str, type_: str, code: str, message: str) -> Fields:
    error = {"type": type_, "code": code, "message": message}
    body = jsonlib.encode({"type": "error", "error": error}).decode()
    expression = pool.packed(_CEL, expression=condition)
    return {
        "filter": {"extension_filter": {"name": _NAME, "typed_config": expression}},
        # `text_format` reads `%` as an operator; there is none in these sentences.
        "body_format_override": {
            "text_format_source": {"inline_string": body},
            "content_type": "application/json",
        },
    }
