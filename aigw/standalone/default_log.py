"""The access log of a Gateway that says nothing about it: one JSON line per AI request on standard output."""

from typing import Final

from extension_server.api import envoy_gateway as eg
from filters.contract.config import METADATA_NAMESPACE, MODEL_HEADER

_COMMON: Final = {
    "start_time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "request.path": "%REQ(:PATH)%",
    "x-envoy-origin-path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "response_code": "%RESPONSE_CODE%",
    "duration": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "user-agent": "%REQ(USER-AGENT)%",
    "x-request-id": "%REQ(X-REQUEST-ID)%",
    "x-forwarded-for": "%REQ(X-FORWARDED-FOR)%",
    "x-envoy-upstream-service-time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
_METADATA: Final = {
    "gen_ai.response.model": "response_model",
    "gen_ai.provider.name": "backend_name",
    "gen_ai.usage.input_tokens": "llm_input_token",
    "gen_ai.usage.output_tokens": "llm_output_token",
    "gen_ai.usage.reasoning_tokens": "llm_reasoning_token",
    "session.id": "session.id",
}


def default_access_log() -> eg.AccessLog:
    fields = {
        **_COMMON,
        "gen_ai.request.model": f"%REQ({MODEL_HEADER.upper()})%",
        **{name: f"%DYNAMIC_METADATA({METADATA_NAMESPACE}:{key})%" for name, key in _METADATA.items()},
    }
    setting = eg.AccessLogSetting(
        matches=(f"request.headers['{MODEL_HEADER}'] != ''",),
        format=eg.AccessLogFormat(type="JSON", json=fields),
        sinks=(eg.AccessLogSink(type="File", file=eg.FileSink(path="/dev/stdout")),),
    )
    return eg.AccessLog(settings=(setting,))
