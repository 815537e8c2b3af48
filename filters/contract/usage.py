"""Token counts of one request, in the OpenAI convention.

`input` includes cache-read and cache-write tokens for every provider; `total` = input + output (spec: translation
chapter §3.1). None means that the provider did not say; 0 means that it said zero.
"""

import msgspec


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Counts seen so far. Providers report cumulative numbers, so a newer report replaces, never adds."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None
    cache_creation: int | None = None
    reasoning: int | None = None

    def merged(self, newer: "Usage") -> "Usage":
        """This report with every member that `newer` knows replaced by it."""
        return Usage(
            input=self.input if newer.input is None else newer.input,
            output=self.output if newer.output is None else newer.output,
            total=self.total if newer.total is None else newer.total,
            cached=self.cached if newer.cached is None else newer.cached,
            cache_creation=self.cache_creation if newer.cache_creation is None else newer.cache_creation,
            reasoning=self.reasoning if newer.reasoning is None else newer.reasoning,
        )
