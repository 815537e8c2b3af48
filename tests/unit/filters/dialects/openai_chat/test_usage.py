"""Counts are read from whatever calls itself usage, and never make an answer fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage
from filters.dialects.openai_chat import usage as usages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}', Usage(input=9, output=12, total=21)),
        ('{"prompt_tokens":9,"completion_tokens":12}', Usage(input=9, output=12, total=21)),
        ('{"prompt_tokens":9,"total_tokens":9}', Usage(input=9, output=0, total=9)),
        (
            '{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"cache_creation_input_tokens":2}}',
            Usage(input=9, output=0, total=9, cached=4, cache_creation=2),
        ),
        (
            '{"prompt_tokens":9,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":1}}',
            Usage(input=9, output=1, total=10, reasoning=1),
        ),
        (
            '{"prompt_tokens":9,"prompt_tokens_details":{},"completion_tokens_details":{}}',
            Usage(input=9, output=0, total=9, cached=0, cache_creation=0, reasoning=0),
        ),
        (
            '{"prompt_tokens":9,"prompt_tokens_details":null,"completion_tokens_details":[]}',
            Usage(input=9, output=0, total=9),
        ),
        (
            '{"prompt_tokens":9,"prompt_tokens_details":{"cache_write_tokens":3}}',
            Usage(input=9, output=0, total=9, cached=0, cache_creation=3),
        ),
        (
            '{"prompt_tokens":9,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":1}',
            Usage(input=9, output=0, total=9, cached=8),
        ),
        ('{"prompt_tokens":9,"cached_tokens":5}', Usage(input=9, output=0, total=9, cached=5)),
        ('{"prompt_tokens":9.0,"completion_tokens":2.5,"total_tokens":-1}', Usage(input=9, output=0, total=9)),
        ('{"prompt_tokens":"9","completion_tokens":true,"total_tokens":1e99}', None),
        ('{"prompt_tokens":123456789012345678901234567890}', None),
        ("{}", None),
        ("null", None),
        ("[1]", None),
        ('"x"', None),
    ],
)
def test_reads(text: str, expected: Usage | None) -> None:
    assert usages.read(Raw(text.encode())) == expected


counts = st.none() | st.integers(0, 2**40)


@given(
    st.builds(
        Usage, input=st.integers(0, 9), output=st.integers(0, 9), cached=counts, cache_creation=counts, reasoning=counts
    )
)
def test_what_is_written_reads_back(usage: Usage) -> None:
    read = usages.read(Raw(jsonlib.encode(usages.written(usage))))
    assert read is not None
    assert (read.input, read.output, read.total) == (
        usage.input,
        usage.output,
        (usage.input or 0) + (usage.output or 0),
    )
    assert read.reasoning == usage.reasoning
    if usage.cached is not None or usage.cache_creation is not None:
        assert (read.cached, read.cache_creation) == (usage.cached or 0, usage.cache_creation or 0)


def test_totals_are_always_written() -> None:
    assert jsonlib.encode(usages.written(Usage())) == b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
