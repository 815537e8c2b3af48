"""SecurityPolicy: API keys and JWTs of clients.

The filters stand in every connection manager of the port, as Envoy Gateway places them: `api_key_auth` disabled and
switched on per route, `jwt_authn` asking for what the route names.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from aigw.standalone.base_xds import clusters, tls
from aigw.standalone.base_xds.world import AttachedRule, World, refuse
from extension_server.api import core
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.base import seconds
from extension_server.xds import pool
from extension_server.xds.pool import Fields, Message

API_KEY_FILTER: Final = "envoy.filters.http.api_key_auth"
JWT_FILTER: Final = "envoy.filters.http.jwt_authn"

_API_KEY: Final = "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth"
_API_KEY_PER_ROUTE: Final = "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute"
_JWT: Final = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_JWT_PER_ROUTE: Final = "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig"
_FETCH_TIMEOUT: Final = 10.0
_JWKS_RETRY: Final[Fields] = {"retry_back_off": {"base_interval": {"seconds": 1}}}


def check_one_policy(world: World, listener: gw.Listener, host: str, rules: Iterable[AttachedRule]) -> None:
    """Refuses two AI routes of one host with different policies.

    Clients are authenticated before the model is known, on the first AI route of the host: the policy of another route
    would silently not be asked.
    """
    ai = [attached for attached in rules if world.is_ai(attached.route)]
    policies = {_identity(world.policy_of_rule(eg.SecurityPolicy, attached, listener)) for attached in ai}
    if len(policies) > 1:
        some = next(
            policy for attached in ai if (policy := world.policy_of_rule(eg.SecurityPolicy, attached, listener))
        )
        message = (
            f"AI routes of host {host} on listener {listener.name} have different SecurityPolicies, but clients are "
            "authenticated before the model chooses the route: target the Gateway, or give the routes hostnames"
        )
        raise refuse(some, "spec.targetRefs", "Conflicted", message)


def _identity(policy: eg.SecurityPolicy | None) -> str:
    return "" if policy is None else f"{policy.namespace}/{policy.name}"


def http_filters(world: World, listeners: Iterable[gw.Listener]) -> list[Fields]:
    """The authentication filters of a connection manager that serves these listeners."""
    policies = {_identity(policy): policy for policy in _policies(world, listeners)}
    ordered = [policies[name] for name in sorted(policies)]
    filters: list[Fields] = []
    keyed = next((policy for policy in ordered if policy.spec.api_key_auth), None)
    if keyed is not None:
        config = _api_key(world, keyed)
        config.pop("forwarding", None)
        filters.append({"name": API_KEY_FILTER, "disabled": True, "typed_config": pool.packed(_API_KEY, **config)})
    if any(policy.spec.jwt for policy in ordered):
        filters.append({"name": JWT_FILTER, "typed_config": pool.packed(_JWT, **_jwt(world, ordered))})
    return filters


def per_route(world: World, listener: gw.Listener, attached: AttachedRule) -> Fields:
    """`typed_per_filter_config` of one route. Raises NotServable."""
    policy = world.policy_of_rule(eg.SecurityPolicy, attached, listener)
    if policy is None:
        return {}
    entries: Fields = {}
    if policy.spec.api_key_auth is not None:
        entries[API_KEY_FILTER] = pool.packed(_API_KEY_PER_ROUTE, **_api_key(world, policy))
    if policy.spec.jwt is not None:
        entries[JWT_FILTER] = pool.packed(_JWT_PER_ROUTE, requirement_name=_requirement_name(policy))
    return entries


def jwks_clusters(world: World, files: tls.Files) -> list[Message]:
    """One cluster per host that keys are fetched from."""
    found: dict[str, Message] = {}
    for policy in _policies(world, world.gateway.spec.listeners):
        for provider in policy.spec.jwt.providers if policy.spec.jwt else ():
            if provider.remote_jwks is not None:
                cluster = _jwks_cluster(files, provider.remote_jwks.uri)
                found[cluster.name] = cluster
    return [found[name] for name in sorted(found)]


def _policies(world: World, listeners: Iterable[gw.Listener]) -> Iterator[eg.SecurityPolicy]:
    for listener in listeners:
        for rules in world.rules(listener).values():
            for attached in rules:
                policy = world.policy_of_rule(eg.SecurityPolicy, attached, listener)
                if policy is not None:
                    yield policy


def _api_key(world: World, policy: eg.SecurityPolicy) -> Fields:
    auth = policy.spec.api_key_auth
    assert auth is not None
    credentials = []
    for index, reference in enumerate(auth.credential_refs):
        namespace = reference.namespace or policy.namespace
        secret = world.snapshot.get(core.Secret, namespace, reference.name)
        if secret is None:
            message = f"Secret {namespace}/{reference.name} not found"
            raise refuse(policy, f"spec.apiKeyAuth.credentialRefs[{index}]", "InvalidSecretRef", message)
        for client in sorted({*secret.data, *secret.string_data}):
            value = secret.value(client)
            assert value is not None
            credentials.append({"key": value.reveal(), "client": client})
    sources = [
        {kind: name}
        for extract in auth.extract_from
        for kind, names in (("header", extract.headers), ("query", extract.params), ("cookie", extract.cookies))
        for name in names
    ]
    config: Fields = {"credentials": credentials, "key_sources": sources}
    forwarding: Fields = {}
    if auth.forward_client_id_header:
        forwarding["header"] = auth.forward_client_id_header
    if auth.sanitize:
        forwarding["hide_credentials"] = True
    if forwarding:
        config["forwarding"] = forwarding
    return config


def _jwt(world: World, policies: Iterable[eg.SecurityPolicy]) -> Fields:
    providers: Fields = {}
    requirements: Fields = {}
    for policy in policies:
        jwt = policy.spec.jwt
        if jwt is None:
            continue
        names = []
        for index, provider in enumerate(jwt.providers):
            name = _provider_name(policy, provider)
            names.append(name)
            providers[name] = _provider(world, policy, index, provider)
        wanted: list[Fields] = [{"provider_name": name} for name in names]
        if jwt.optional:
            wanted.append({"allow_missing": {}})
        requirements[_requirement_name(policy)] = (
            wanted[0] if len(wanted) == 1 else {"requires_any": {"requirements": wanted}}
        )
    return {"providers": providers, "requirement_map": requirements}


def _requirement_name(policy: eg.SecurityPolicy) -> str:
    return f"{policy.namespace}/{policy.name}"


def _provider_name(policy: eg.SecurityPolicy, provider: eg.JWTProvider) -> str:
    """Envoy Gateway 1.9: `<provider>_<hash>`."""
    content = f"{policy.namespace}/{policy.name}/{provider.model_dump_json()}"
    return f"{provider.name}_{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _provider(world: World, policy: eg.SecurityPolicy, index: int, provider: eg.JWTProvider) -> Fields:
    config: Fields = {
        "audiences": list(provider.audiences),
        "forward": True,
        "payload_in_metadata": provider.name,
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "scp"]},
    }
    if provider.issuer:
        config["issuer"] = provider.issuer
    if provider.remote_jwks is not None:
        config["remote_jwks"] = {
            "http_uri": {
                "uri": provider.remote_jwks.uri,
                "cluster": _jwks_cluster_name(provider.remote_jwks.uri),
                "timeout": pool.duration(_FETCH_TIMEOUT),
            },
            "cache_duration": pool.duration(seconds(provider.remote_jwks.cache_duration)),
            "async_fetch": {},
            "retry_policy": _JWKS_RETRY,
        }
    else:
        config["local_jwks"] = {"inline_string": _local_keys(world, policy, index, provider)}
    if (extract := provider.extract_from) is not None:
        config["from_headers"] = [
            {"name": header.name, **({"value_prefix": header.value_prefix} if header.value_prefix else {})}
            for header in extract.headers
        ]
        config["from_params"] = list(extract.params)
        config["from_cookies"] = list(extract.cookies)
    config["claim_to_headers"] = [
        {"header_name": entry.header, "claim_name": entry.claim} for entry in provider.claim_to_headers
    ]
    return config


def _local_keys(world: World, policy: eg.SecurityPolicy, index: int, provider: eg.JWTProvider) -> str:
    local = provider.local_jwks
    assert local is not None, "rule J2 of the model"
    if local.inline is not None:
        return local.inline
    reference = local.value_ref
    assert reference is not None, "rule J1 of the model"
    found = (
        world.snapshot.get(core.ConfigMap, policy.namespace, reference.name) if reference.kind == "ConfigMap" else None
    )
    if found is None or "jwks" not in found.data:
        message = f"{reference.kind} {policy.namespace}/{reference.name} with the key jwks not found"
        raise refuse(policy, f"spec.jwt.providers[{index}].localJWKS.valueRef", "InvalidRef", message)
    return found.data["jwks"]


def _jwks_cluster_name(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.hostname}_{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _jwks_cluster(files: tls.Files, uri: str) -> Message:
    parts = urlsplit(uri)
    name = _jwks_cluster_name(uri)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    fields: Fields = {
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if parts.scheme == "https":
        fields["transport_socket"] = tls.socket({"filename": str(files.system_ca)}, sni=host)
    return clusters.plain_cluster(name, **fields)
