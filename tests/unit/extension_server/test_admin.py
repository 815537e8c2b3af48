"""Metrics and probes over HTTP."""

from collections.abc import Mapping

import httpx

from extension_server.admin import AdminServer
from extension_server.metrics import Gauge, Metrics


async def test_probes_say_why_the_process_is_not_ready() -> None:
    why = "waiting for gateways"
    server = AdminServer(Metrics(), lambda: why)
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        alive = await client.get("/healthz")
        before = await client.get("/readyz")
        why = ""
        after = await client.get("/readyz")
    await server.stop()
    assert (alive.status_code, before.status_code, after.status_code) == (200, 503, 200)
    assert before.text == "waiting for gateways\n"


async def test_metrics_are_in_the_text_format() -> None:
    metrics = Metrics()
    metrics.hook_called("PostTranslateModify", "answered", 0.02, 1000, 2000)
    metrics.reconciled(0.1, 3)
    metrics.requested("apply", "HTTPRoute", "ok")
    connected: Mapping[str, float] = {"default/gw": 2}
    metrics.watch(
        (
            Gauge("aigw_leader", "says", lambda: 1.0),
            Gauge("aigw_connected_filters", "says", lambda: connected, label="gateway"),
            Gauge("aigw_absent", "says", lambda: None),
        )
    )
    server = AdminServer(metrics, str)
    port = await server.start("127.0.0.1", 0)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    await server.stop()
    lines = answer.text.splitlines()
    assert 'aigw_hook_requests_total{hook="PostTranslateModify",result="answered"} 1.0' in lines
    assert 'aigw_hook_duration_seconds_bucket{hook="PostTranslateModify",le="0.025"} 1.0' in lines
    assert 'aigw_hook_message_bytes_sum{hook="PostTranslateModify",message="response"} 2000.0' in lines
    assert "aigw_reconcile_objects_total 3.0" in lines
    assert 'aigw_apiserver_requests_total{kind="HTTPRoute",result="ok",verb="apply"} 1.0' in lines
    assert "aigw_leader 1.0" in lines
    assert 'aigw_connected_filters{gateway="default/gw"} 2.0' in lines
    assert "aigw_absent" not in answer.text
