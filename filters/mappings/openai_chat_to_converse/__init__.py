"""OpenAI chat completions → Amazon Bedrock Converse.

`request.translate` maps a request, `response` what comes back. The platform (`filters.providers.aws_bedrock`) adds path
and headers. Translation chapter §7, §17.2.
"""
