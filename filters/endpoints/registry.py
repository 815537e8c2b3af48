"""Which endpoints there are: every module of this package that defines ENDPOINT. Scanned when asked, not at import."""

import importlib
import pkgutil

from filters import endpoints
from filters.endpoints.base import Endpoint


def load() -> tuple[Endpoint, ...]:
    """All endpoints, by name."""
    found: list[Endpoint] = []
    for info in pkgutil.iter_modules(endpoints.__path__):
        module = importlib.import_module(f"{endpoints.__name__}.{info.name}")
        endpoint: Endpoint | None = getattr(module, "ENDPOINT", None)
        if endpoint is not None:
            found.append(endpoint)
    return tuple(sorted(found, key=lambda endpoint: endpoint.name))
