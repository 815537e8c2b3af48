"""Makes request headers readable in access logs, as dynamic metadata (`session.id` and what the operator adds).

The header stays; Envoy copies its value. Only connection managers that serve AI routes get the filter, so a Gateway's
TCP and TLS listeners, and its other HTTP listeners, stay as they are. A filter that is there already (a user's
EnvoyPatchPolicy) keeps its rules and gets ours besides.
"""

from typing import Final

from extension_server.xds import pool
from extension_server.xds.pool import Fields, Message
from extension_server.xds.resources import Mediation, Resources, ai_connection_managers
from filters.contract.config import METADATA_NAMESPACE

FILTER: Final = "envoy.filters.http.header_to_metadata"

_CONFIG: Final = "envoy.extensions.filters.http.header_to_metadata.v3.Config"


def patch(resources: Resources, mediation: Mediation) -> None:
    if not mediation.log_attributes:
        return
    for network_filter, manager in ai_connection_managers(resources, mediation):
        _patch_manager(manager, mediation.log_attributes)
        pool.replace(network_filter.typed_config, manager)


def _patch_manager(manager: Message, attributes: tuple[tuple[str, str], ...]) -> None:
    existing = next((each for each in manager.http_filters if each.name == FILTER), None)
    if existing is not None and pool.type_name(existing.typed_config) == _CONFIG:
        config = pool.unpacked(existing.typed_config)
        present = {_identity(rule) for rule in config.request_rules}
        added = [rule for rule in _rules(attributes) if _identity(rule) not in present]
        config.request_rules.extend(added)
        pool.replace(existing.typed_config, config)
    elif existing is None:
        # Last of all but the router, which ends the chain.
        filters = [*manager.http_filters]
        config = pool.packed(_CONFIG, request_rules=_rules(attributes))
        filters.insert(max(len(filters) - 1, 0), pool.message(pool.HTTP_FILTER, name=FILTER, typed_config=config))
        del manager.http_filters[:]
        manager.http_filters.extend(filters)


def _rules(attributes: tuple[tuple[str, str], ...]) -> list[Message]:
    return [pool.message(f"{_CONFIG}.Rule", **_rule(header, key)) for header, key in sorted(attributes)]


def _rule(header: str, key: str) -> Fields:
    target = {"metadata_namespace": METADATA_NAMESPACE, "key": key, "type": "STRING"}
    return {"header": header, "on_header_present": target}


def _identity(rule: Message) -> tuple[str, str, str]:
    """What a rule does; header names are told apart without regard to case."""
    target = rule.on_header_present
    return rule.header.lower(), target.metadata_namespace, target.key
