"""`GET /v1/models` and `/v1/models/{id}`: what a host offers, in OpenAI's and in Anthropic's shape.

Answered by the gateway alone. The caller picks the models of the host and says which family's path was asked for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from filters.contract import jsonlib
from filters.contract.config import Model

SUFFIX: Final = "/v1/models"


class _OpenAIModel(msgspec.Struct, frozen=True):
    id: str
    created: int
    object: str
    owned_by: str


class _OpenAIList(msgspec.Struct, frozen=True):
    data: Sequence[_OpenAIModel]
    object: str


class _AnthropicModel(msgspec.Struct, frozen=True):
    id: str
    type: str
    display_name: str
    created_at: str


class _AnthropicList(msgspec.Struct, frozen=True, omit_defaults=True):
    data: Sequence[_AnthropicModel]
    first_id: str = ""
    has_more: bool | None = None  # None is never written: False must be, so it is no default
    last_id: str = ""


def _openai(model: Model) -> _OpenAIModel:
    return _OpenAIModel(model.id, model.created, "model", model.owned_by)


def _openai_list(models: Sequence[Model]) -> bytes:
    return jsonlib.encode(_OpenAIList([_openai(model) for model in models], "list"))


def _anthropic(model: Model) -> _AnthropicModel:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _AnthropicModel(model.id, "model", model.id, created)


def _anthropic_list(models: Sequence[Model]) -> bytes:
    data = [_anthropic(model) for model in models]
    first, last = (data[0].id, data[-1].id) if data else ("", "")
    return jsonlib.encode(_AnthropicList(data, first, False, last))


_LISTS: Final[Mapping[str, Callable[[Sequence[Model]], bytes]]] = {
    "openai": _openai_list,
    "anthropic": _anthropic_list,
}
_SINGLES: Final[Mapping[str, Callable[[Model], object]]] = {"openai": _openai, "anthropic": _anthropic}

FAMILIES: Final = tuple(_LISTS)
"""families (keys of the endpoint prefixes) that have a listing"""


class Listing:
    """The models of one virtual host, rendered once per configuration: a listing costs a lookup."""

    __slots__ = ("_lists", "_models")

    def __init__(self, models: Iterable[Model]) -> None:
        # The first of several entries with one id counts, as in a route table.
        self._models: dict[str, Model] = {}
        for model in models:
            self._models.setdefault(model.id, model)
        known = tuple(self._models.values())
        self._lists = {family: render(known) for family, render in _LISTS.items()}

    def all(self, family: str) -> bytes:
        return self._lists[family]

    def one(self, family: str, model_id: str) -> bytes | None:
        """None when there is no such model here."""
        model = self._models.get(model_id)
        return None if model is None else jsonlib.encode(_SINGLES[family](model))
