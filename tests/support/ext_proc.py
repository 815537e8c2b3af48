"""ext_proc messages as Envoy would send and read them, by a second protobuf implementation (envoy-data-plane)."""

from collections.abc import Mapping

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc


def header_map(headers: Mapping[str, bytes | str]) -> core.HeaderMap:
    return core.HeaderMap(
        headers=[
            core.HeaderValue(key=key, raw_value=value.encode() if isinstance(value, str) else value)
            for key, value in headers.items()
        ]
    )


def request_headers(headers: Mapping[str, bytes | str] | None = None, *, end: bool = False) -> bytes:
    block = ext_proc.HttpHeaders(headers=header_map(headers or {":path": "/"}), end_of_stream=end)
    return bytes(ext_proc.ProcessingRequest(request_headers=block))


def response_headers(headers: Mapping[str, bytes | str] | None = None) -> bytes:
    block = ext_proc.HttpHeaders(headers=header_map(headers or {":status": "200"}))
    return bytes(ext_proc.ProcessingRequest(response_headers=block))


def request_body(body: bytes, *, end: bool = True) -> bytes:
    return bytes(ext_proc.ProcessingRequest(request_body=ext_proc.HttpBody(body=body, end_of_stream=end)))


def response_body(body: bytes, *, end: bool = True) -> bytes:
    return bytes(ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=body, end_of_stream=end)))


def parse(response: bytes) -> ext_proc.ProcessingResponse:
    return ext_proc.ProcessingResponse.parse(response)
