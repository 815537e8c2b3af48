"""Azure OpenAI by deployment: OpenAI's chat API at a path that names the deployment, with an `api-version`.

The body keeps the client's model, which Azure ignores; the effective model is the deployment (translation chapter §6).
Azure's newer `/openai/v1` API needs nothing of this: it is schema OpenAI with that prefix.
"""

from typing import Final
from urllib.parse import quote

from filters.contract.translation import Call
from filters.providers import paths
from filters.providers.base import Provider
from filters.providers.openai import PassThroughChat


def _chat(call: Call) -> PassThroughChat:
    deployment = paths.escape_segment(call.model)
    version = quote(call.backend.schema.version, safe="")
    path = f"/openai/deployments/{deployment}/chat/completions?api-version={version}"
    return PassThroughChat(call, path=path, write_model=False)


PROVIDER: Final = Provider("AzureOpenAI", {"chat_completions": _chat})
