"""Kubernetes' own kinds that resources refer to: Secret and ConfigMap.

Values of a Secret are `filters.contract.secret.Secret`: they print as `[redacted]`, in dumps too.
"""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from extension_server.api.base import Object
from filters.contract import secret


class _Hidden:
    """A string that becomes `filters.contract.secret.Secret` on the way in and `[redacted]` on the way out."""

    def __init__(self, *, encoded: bool) -> None:
        self.encoded = encoded

    def read(self, value: str) -> secret.Secret:
        if not self.encoded:
            return secret.Secret(value)
        try:
            content = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise PydanticCustomError("base64", "illegal base64 data (plain text belongs into stringData)") from exc
        # Keys of other programs may hold binary; ours are text.
        return secret.Secret(content.decode("utf-8", errors="surrogateescape"))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            self.read,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


class Secret(Object):
    api_version: Literal["v1"] = "v1"
    kind: Literal["Secret"] = "Secret"
    type: str = "Opaque"
    immutable: bool | None = None
    data: dict[str, Annotated[secret.Secret, _Hidden(encoded=True)]] = Field(default_factory=dict)
    string_data: dict[str, Annotated[secret.Secret, _Hidden(encoded=False)]] = Field(default_factory=dict)

    def value(self, key: str) -> secret.Secret | None:
        """Content of one key; `stringData` wins, as it does when the API server stores the object."""
        return self.string_data.get(key, self.data.get(key))


class Namespace(Object):
    namespaced = False
    api_version: Literal["v1"] = "v1"
    kind: Literal["Namespace"] = "Namespace"


class ConfigMap(Object):
    api_version: Literal["v1"] = "v1"
    kind: Literal["ConfigMap"] = "ConfigMap"
    immutable: bool | None = None
    data: dict[str, str] = Field(default_factory=dict)
    binary_data: dict[str, str] = Field(default_factory=dict)
