"""Keeps providers' credentials from filters of the user's that run after ours (ext_proc, wasm, lua, modules).

In plan `single` our filter puts path, body and credentials of the provider in place, and whatever runs after it sees
them. A listener that has such a filter must serve its rules by `attempt`. Compiling does so when it is told
(`compile_gateway(user_filters=…)`); rules that were compiled without that knowledge are closed here until then.
"""

from collections.abc import Iterator
from typing import Final

from extension_server.xds import closing, names, pool, processor
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources, ai_connection_managers, routes_of

_PREFIX: Final = "envoy.filters.http."
_TYPE_PREFIX: Final = "envoy.extensions.filters.http."
_KINDS: Final = frozenset({"dynamic_modules", "ext_proc", "golang", "lua", "wasm"})
"""Code that people bring along, and calls to servers of theirs."""


def patch(resources: Resources, mediation: Mediation) -> None:
    exposed = {configuration for configuration, _ in after_ours(resources, mediation)}
    if not exposed:
        return
    for configuration in resources.routes:
        if configuration.name not in exposed:
            continue
        for route in routes_of(configuration):
            rule = mediation.rule(names.route(route.name))
            if rule is not None and rule.plan == "single":
                closing.close(route)


def after_ours(resources: Resources, mediation: Mediation) -> Iterator[tuple[str, str]]:
    """(RouteConfiguration, name of a user's filter that runs after ours). Wants our filter to be in place."""
    for _, manager in ai_connection_managers(resources, mediation):
        chain = [*manager.http_filters]
        ours = next((index for index, each in enumerate(chain) if each.name == processor.FILTER), len(chain))
        for each in chain[ours + 1 :]:
            if _is_users(each):
                yield manager.rds.route_config_name, each.name


def _is_users(http_filter: Message) -> bool:
    # `lua/<policy>`: one instance per policy has the policy in its name. An EnvoyPatchPolicy may name it anything.
    of_name = http_filter.name.removeprefix(_PREFIX).partition("/")[0]
    of_type = pool.type_name(http_filter.typed_config).removeprefix(_TYPE_PREFIX).partition(".")[0]
    return of_name in _KINDS or of_type in _KINDS
