"""A configuration in sections: a change touches its own sections, and each hash names what it should."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import sections
from filters.contract.config import (
    Backend,
    FilterConfig,
    HeaderCredential,
    Listener,
    Match,
    Model,
    Rule,
    Schema,
    VirtualHost,
)
from filters.contract.secret import Secret

NAMES = st.lists(st.integers(0, 999), unique=True, min_size=2, max_size=60)


def configuration(numbers: list[int], key: str = "k") -> FilterConfig:
    return FilterConfig(
        gateway="n/g",
        listeners=(
            Listener(
                "n/g/http",
                (
                    VirtualHost(
                        ("*",),
                        tuple(Match(f"n/r{each}/rule/0", f"m{each}") for each in numbers),
                        tuple(Model(f"m{each}", "me", 1) for each in numbers),
                    ),
                ),
            ),
        ),
        rules=tuple(Rule(f"n/r{each}/rule/0", f"n/r{each}", f"t{each}", "single", (f"b{each}",)) for each in numbers),
        backends=tuple(Backend(f"b{each}", "n/b", Schema("OpenAI"), credential=f"n/p{each % 3}") for each in numbers),
        credentials={f"n/p{each}": HeaderCredential("x-api-key", Secret(f"{key}{each}")) for each in range(3)},
    )


@given(NAMES)
def test_what_was_encoded_before_changes_nothing(numbers: list[int]) -> None:
    previous = sections.split(configuration(numbers[:-1], "old"))
    wanted = configuration(numbers)
    assert sections.split(wanted, previous) == sections.split(wanted)


@given(NAMES)
def test_one_more_route_touches_its_own_section_one_run_and_the_head(numbers: list[int]) -> None:
    before = sections.split(configuration(numbers[:-1]))
    after = sections.split(configuration(numbers), before)
    changed = {name for name, section in after.parts.items() if before.parts.get(name) != section}
    assert sections.HEAD in changed
    assert {name for name in changed if name.startswith(sections.ROUTE)} == {f"route/n/r{numbers[-1]}"}
    assert len(changed) <= 4
    assert after.config_hash != before.config_hash
    assert after.credentials == before.credentials


def test_a_new_value_changes_the_hash_of_the_credentials_alone() -> None:
    before = sections.split(configuration([1, 2, 3]))
    values = configuration([1, 2, 3], "new").credentials
    after = before.with_credentials(values)
    assert (after.parts, after.config_hash) == (before.parts, before.config_hash)
    assert after.credentials_hash != before.credentials_hash
    assert after == sections.split(configuration([1, 2, 3], "new"))
    assert after.with_credentials(configuration([1, 2, 3]).credentials) == before


def test_a_backend_that_no_rule_names_is_kept() -> None:
    lonely = msgspec.structs.replace(configuration([1]), rules=())
    assert sections.read_route(sections.split(lonely).parts[sections.ROUTE]).backends == lonely.backends


def test_secrets_do_not_show() -> None:
    assert "secret-key" not in repr(sections.split(configuration([1], "secret-key")))
