"""OpenAI chat completions → Anthropic Messages, for every platform that hosts Claude.

`request.translate` maps a request, `response` maps what comes back. The platform (`filters.providers`) adds its frame:
path, headers, `model`, `stream`, `anthropic_version`. Translation chapter §8.
"""
