"""Counting and the Prometheus page, with the numbers of the observability chapter's worked example (§3.3)."""

from prometheus_client.parser import text_string_to_metric_families

from filters.contract.usage import Usage
from filters.telemetry import prometheus
from filters.telemetry.aggregate import Aggregate
from filters.telemetry.record import Labels, RequestRecord


def labels(model: str = "gpt-5-nano") -> Labels:
    return Labels(
        operation="chat",
        provider="openai",
        original_model=model,
        request_model=model,
        response_model="gpt-5-nano-2025-08-07",
    )


def samples(source: Aggregate) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    page = prometheus.render(source).decode()
    return {
        (
            sample.name,
            tuple(sorted((k, v) for k, v in sample.labels.items() if not k.startswith("otel_"))),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_the_worked_example() -> None:
    source = Aggregate()
    usage = Usage(input=8, output=377, total=385, cached=0, cache_creation=0, reasoning=320)
    source.request(RequestRecord(labels=labels(), duration=0.3, usage=usage, first_token=0.05, per_output_token=0.012))
    seen = samples(source)
    base = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "openai",
        "gen_ai_original_model": "gpt-5-nano",
        "gen_ai_request_model": "gpt-5-nano",
        "gen_ai_response_model": "gpt-5-nano-2025-08-07",
    }
    sums = {
        dict(key)["gen_ai_token_type"]: value
        for (name, key), value in seen.items()
        if name == "gen_ai_client_token_usage_sum"
    }
    assert sums == {"input": 8, "output": 377, "reasoning": 320, "cached_input": 0, "cache_creation_input": 0}
    key = tuple(sorted(base.items()))
    assert seen["gen_ai_server_request_duration_seconds_count", key] == 1
    assert seen["gen_ai_server_time_to_first_token_seconds_sum", key] == 0.05
    assert seen["gen_ai_server_time_per_output_token_seconds_count", key] == 1
    bucket = tuple(sorted({**base, "le": "0.32"}.items()))
    assert seen["gen_ai_server_request_duration_seconds_bucket", bucket] == 1
    below = tuple(sorted({**base, "le": "0.16"}.items()))
    assert seen["gen_ai_server_request_duration_seconds_bucket", below] == 0
    assert b'otel_scope_name="envoyproxy/ai-gateway"' in prometheus.render(source)


def test_a_failure_has_its_type_and_a_success_has_no_such_label() -> None:
    source = Aggregate()
    source.request(RequestRecord(labels=labels(), duration=1, error="429"))
    source.request(RequestRecord(labels=labels(), duration=1))
    counts = {
        dict(key).get("error_type"): value
        for (name, key), value in samples(source).items()
        if name == "gen_ai_server_request_duration_seconds_count"
    }
    assert counts == {"429": 1, None: 1}


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    source = Aggregate()
    source.request(RequestRecord(labels=labels(), duration=0.01))
    first = {
        dict(key)["le"]: value
        for (name, key), value in samples(source).items()
        if name == "gen_ai_server_request_duration_seconds_bucket"
    }
    assert first["0.01"] == 1


def test_answers_of_the_gateway_and_dropped_members_are_counted() -> None:
    source = Aggregate()
    source.answer("model_not_found")
    source.answer("model_not_found")
    source.dropped("AWSBedrock", 3)
    seen = samples(source)
    assert seen["aigw_gateway_answers_total", (("error_type", "model_not_found"),)] == 2
    assert seen["aigw_request_dropped_members_total", (("schema", "AWSBedrock"),)] == 3


def test_model_names_of_clients_cannot_fill_the_memory() -> None:
    source = Aggregate(max_series=3)
    for number in range(100):
        source.request(RequestRecord(labels=labels(f"m{number}"), duration=1))
    durations = [
        (key[0].request_model, distribution)
        for spec, series in source.histograms()
        if spec.name == "gen_ai.server.request.duration"
        for key, distribution in series.items()
    ]
    assert [model for model, _ in durations] == ["m0", "m1", "m2", "other"]
    assert sum(durations[-1][1].buckets) == 97
