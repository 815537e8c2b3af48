"""Which hosts a route serves on a listener (Gateway API's hostname intersection), and who wins a host."""

from typing import Final

ANY: Final = "*"


def covers(pattern: str, host: str) -> bool:
    """True when every request for `host` (exact or wildcard) is one that `pattern` takes too.

    `*.example.com` takes any number of labels in front, but at least one.
    """
    if pattern in (ANY, host):
        return True
    return pattern.startswith("*.") and host.endswith(pattern[1:])


def intersect(listener: str, route: tuple[str, ...]) -> tuple[str, ...]:
    """Hosts that both take. `listener` is ANY for one without hostname; no hostnames on a route mean every host."""
    if not route:
        return (listener,)
    shared = (
        host if covers(listener, host) else listener
        for host in route
        if covers(listener, host) or covers(host, listener)
    )
    return tuple(dict.fromkeys(shared))


def more_specific(host: str, than: str) -> bool:
    """Envoy's order of virtual hosts: exact before wildcard, longer suffix before shorter, `*` last."""
    return host != than and covers(than, host)
