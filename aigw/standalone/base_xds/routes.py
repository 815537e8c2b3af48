"""Route configurations: one per plain-text port, one per HTTPS listener; one route per match of each rule."""

from typing import Any, Final

from aigw.standalone.base_xds import security
from aigw.standalone.base_xds.world import AttachedRule, World, refuse
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.base import seconds
from extension_server.xds import names, pool
from extension_server.xds.pool import Fields, Message

IDLE_TIMEOUT: Final = 3600.0
"""Envoy Gateway's; the request timeout usually ends a stream first."""
DEFAULT_TRIGGERS: Final = ("connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes")
DEFAULT_STATUSES: Final = (503,)
HOST_ATTEMPTS: Final = 5

_PREVIOUS_HOSTS: Final = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
_PREVIOUS_PRIORITIES: Final = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
_ANNOTATIONS: Final = "gateway.envoyproxy.io/"


def build(world: World) -> list[Message]:
    """Raises NotServable."""
    configurations = []
    for listeners in world.ports.values():
        # Plain-text listeners of one port share a configuration, named after the first.
        groups = [(listener,) for listener in listeners] if listeners[0].protocol == "HTTPS" else [listeners]
        for group in groups:
            hosts = [host for listener in group for host in _virtual_hosts(world, listener)]
            name = world.listener_name(group[0])
            configurations.append(
                pool.message(
                    pool.ROUTE_CONFIGURATION, name=name, virtual_hosts=hosts, ignore_port_in_host_matching=True
                )
            )
    return configurations


def _virtual_hosts(world: World, listener: gw.Listener) -> list[Fields]:
    hosts = []
    for host, rules in world.rules(listener).items():
        security.check_one_policy(world, listener, host, rules)
        entries = [
            (_precedence(match), _route(world, listener, attached, index, match, host))
            for attached in rules
            for index, match in enumerate(attached.rule.matches)
        ]
        entries.sort(key=lambda entry: entry[0])  # stable: equal matches keep the order of routes and rules
        hosts.append(
            {
                "name": f"{world.listener_name(listener)}/{host.replace('.', '_')}",
                "domains": [host],
                "metadata": {
                    "filter_metadata": {"envoy-gateway": pool.struct({"resources": [_described(world, listener)]})}
                },
                "routes": [route for _, route in entries],
            }
        )
    return hosts


def _described(world: World, listener: gw.Listener) -> dict[str, Any]:
    gateway = world.gateway.metadata
    return {"kind": "Gateway", "namespace": gateway.namespace, "name": gateway.name, "sectionName": listener.name}


def _precedence(match: gw.HTTPRouteMatch) -> tuple[int, int, int, int]:
    """Envoy Gateway's order: exact path, longer path, more headers, more of them exact."""
    exact = sum(header.type == "Exact" for header in match.headers)
    return (match.path.type != "Exact", -len(match.path.value), -len(match.headers), -exact)


def _route(
    world: World, listener: gw.Listener, attached: AttachedRule, index: int, match: gw.HTTPRouteMatch, host: str
) -> Fields:
    rule_name = names.RuleName(attached.route.namespace, attached.route.name, attached.index)
    return {
        "name": names.route_name(rule_name, index, host),
        "match": _match(match),
        "metadata": {"filter_metadata": {"envoy-gateway": pool.struct({"resources": [resource(attached)]})}},
        "typed_per_filter_config": security.per_route(world, listener, attached),
        **_action(world, listener, attached, rule_name),
    }


def resource(attached: AttachedRule) -> dict[str, Any]:
    """What Envoy Gateway writes into the metadata of routes and clusters."""
    metadata = attached.route.metadata
    annotations = {
        name.removeprefix(_ANNOTATIONS): value
        for name, value in sorted(metadata.annotations.items())
        if name.startswith(_ANNOTATIONS)
    }
    entry: dict[str, Any] = {"kind": "HTTPRoute", "namespace": metadata.namespace, "name": metadata.name}
    if annotations:
        entry["annotations"] = annotations
    if attached.rule.name:
        entry["sectionName"] = attached.rule.name
    return entry


def _match(match: gw.HTTPRouteMatch) -> Fields:
    path = match.path.value
    if match.path.type == "Exact":
        fields: Fields = {"path": path}
    elif path == "/":
        fields = {"prefix": "/"}
    else:
        fields = {"path_separated_prefix": path.rstrip("/")}
    fields["headers"] = [
        {
            "name": header.name,
            "string_match": {"exact": header.value}
            if header.type == "Exact"
            else {"safe_regex": {"regex": header.value}},
        }
        for header in match.headers
    ]
    return fields


def _action(world: World, listener: gw.Listener, attached: AttachedRule, rule_name: names.RuleName) -> Fields:
    filters = [_filter(world, attached, index) for index in range(len(attached.rule.filters))]
    for filter_ in filters:
        if (direct := filter_.spec.direct_response) is not None:
            return _direct_response(direct)
    if not any(ref.weight for ref in attached.rule.backend_refs):
        return {"direct_response": {"status": 500}}
    rewrite = any(filter_.spec.url_rewrite and filter_.spec.url_rewrite.hostname for filter_ in filters)
    policy = world.policy_of_rule(eg.BackendTrafficPolicy, attached, listener)
    action: Fields = {
        "cluster": names.cluster_name(rule_name),
        "idle_timeout": pool.duration(IDLE_TIMEOUT),
        "append_x_forwarded_host": True,
    }
    if rewrite:
        action["auto_host_rewrite"] = {"value": True}
    action |= _timeouts(attached.rule, policy)
    if retry := _retry_policy(attached.rule, policy.spec.retry if policy else None):
        action["retry_policy"] = retry
    return {"route": action}


def _filter(world: World, attached: AttachedRule, index: int) -> eg.HTTPRouteFilter:
    reference = attached.rule.filters[index].extension_ref
    found = (
        world.everything.get(eg.HTTPRouteFilter, attached.route.namespace, reference.name)
        if reference.kind == eg.HTTP_ROUTE_FILTER_KIND
        else None
    )
    if found is None:
        field = f"spec.rules[{attached.index}].filters[{index}]"
        raise refuse(attached.route, field, "FilterNotFound", f"{reference.kind} {reference.name} not found")
    return found


def _direct_response(direct: eg.DirectResponse) -> Fields:
    response: Fields = {"status": direct.status_code or 200}
    if direct.body is not None and direct.body.inline is not None:
        # `text_format` reads `%` as an operator; a body is text.
        text = direct.body.inline.replace("%", "%%")
        response["body_format"] = {"text_format_source": {"inline_bytes": text.encode()}}
        if direct.content_type:
            response["body_format"]["content_type"] = direct.content_type
    return {"direct_response": response}


def _timeouts(rule: gw.HTTPRouteRule, policy: eg.BackendTrafficPolicy | None) -> Fields:
    fields: Fields = {}
    http = policy.spec.timeout.http if policy and policy.spec.timeout else None
    request = rule.timeouts.request if rule.timeouts and rule.timeouts.request else http and http.request_timeout
    if request:
        fields["timeout"] = pool.duration(seconds(request))
    if http and http.stream_idle_timeout:
        fields["idle_timeout"] = pool.duration(seconds(http.stream_idle_timeout))
    if http and http.max_stream_duration:
        fields["max_stream_duration"] = {"max_stream_duration": pool.duration(seconds(http.max_stream_duration))}
    return fields


def _retry_policy(rule: gw.HTTPRouteRule, retry: eg.Retry | None) -> Fields:
    backend_request = rule.timeouts.backend_request if rule.timeouts else None
    per_try: Fields = {"per_try_timeout": pool.duration(seconds(backend_request))} if backend_request else {}
    if retry is None:
        return per_try
    on = retry.retry_on or eg.RetryOn()
    triggers = on.triggers or DEFAULT_TRIGGERS
    policy: Fields = {
        **per_try,
        "retry_on": ",".join(triggers),
        "num_retries": {"value": retry.num_retries},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": pool.packed(_PREVIOUS_HOSTS)}
        ],
        "host_selection_retry_max_attempts": HOST_ATTEMPTS,
    }
    if "retriable-status-codes" in triggers:
        policy["retriable_status_codes"] = list(on.http_status_codes or DEFAULT_STATUSES)
    if retry.num_attempts_per_priority:
        priorities = pool.packed(_PREVIOUS_PRIORITIES, update_frequency=retry.num_attempts_per_priority)
        policy["retry_priority"] = {"name": "envoy.retry_priorities.previous_priorities", "typed_config": priorities}
    if retry.per_retry is not None:
        policy |= _per_retry(retry.per_retry)
    return policy


def _per_retry(per_retry: eg.PerRetry) -> Fields:
    fields: Fields = {}
    if per_retry.timeout:
        fields["per_try_timeout"] = pool.duration(seconds(per_retry.timeout))
    if (back_off := per_retry.back_off) is not None and back_off.base_interval:
        fields["retry_back_off"] = {"base_interval": pool.duration(seconds(back_off.base_interval))}
        if back_off.max_interval:
            fields["retry_back_off"]["max_interval"] = pool.duration(seconds(back_off.max_interval))
    return fields
