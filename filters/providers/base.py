"""What a provider is: a platform (host, path, headers, framing, errors) and the endpoints that it can serve."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from filters.contract.schemas import SchemaName
from filters.contract.translation import Call, Translator

TranslatorFactory = Callable[[Call], Translator]


@dataclass(frozen=True, slots=True)
class Provider:
    """Each module of `filters.providers` that speaks to one platform has exactly one, named PROVIDER."""

    schema: SchemaName
    routes: Mapping[str, TranslatorFactory]
    """endpoint name → translator for one attempt"""
