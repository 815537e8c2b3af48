"""Which providers there are: every module of this package that defines PROVIDER. Scanned when asked, not at import."""

import importlib
import pkgutil
from collections.abc import Mapping

from filters import providers
from filters.providers.base import Provider


def load() -> Mapping[str, Provider]:
    """Schema name → provider. Raises ValueError when two modules claim one schema."""
    found: dict[str, Provider] = {}
    for info in sorted(pkgutil.iter_modules(providers.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{providers.__name__}.{info.name}")
        provider = getattr(module, "PROVIDER", None)
        if not isinstance(provider, Provider):
            continue
        if provider.schema in found:
            raise ValueError(f"filters/providers/{info.name}.py: schema {provider.schema} has a provider already")
        found[provider.schema] = provider
    return found
