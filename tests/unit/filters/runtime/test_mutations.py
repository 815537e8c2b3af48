"""Header and body mutation: remove first, then set; what is not touched stays as it is."""

from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.config import BodyMutation, HeaderMutation
from filters.runtime.mutations import BodyMutator, HeaderMutator


def test_set_wins_over_remove_and_framing_headers_are_out_of_reach() -> None:
    mutator = HeaderMutator(
        HeaderMutation(
            set=(("X-A", "1"), ("content-length", "9"), (":path", "/x"), ("x-ai-eg-model", "x")),
            remove=("x-a", "x-b", "Transfer-Encoding", "x-envoy-original-path"),
        )
    )
    changes: dict[str, str | None] = {"x-b": "translator's"}
    mutator.apply(changes)
    assert changes == {"x-a": "1", "x-b": None}


def test_untouched_bytes_stay_when_a_member_is_set() -> None:
    mutator = BodyMutator(BodyMutation(set=(("b", '"x"'), ("c", "[1, 2]"))), "backend b")
    assert mutator.apply(b'{ "a" : 1.0,  "b":2 }') == b'{ "a" : 1.0,  "b":"x" ,"c":[1, 2]}'


names = st.sampled_from(["a", "b", "c", 'q"uote', "é"])
values = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2))


@given(
    st.dictionaries(names, values, max_size=5),
    st.dictionaries(names, values, max_size=3),
    st.lists(names, max_size=3),
)
def test_a_mutated_body_is_the_object_that_was_asked_for(
    body: dict[str, object], set_: dict[str, object], remove: list[str]
) -> None:
    mutation = BodyMutation(
        set=tuple((name, jsonlib.encode(value).decode()) for name, value in set_.items()), remove=tuple(remove)
    )
    mutated = BodyMutator(mutation, "backend b").apply(jsonlib.encode(body))
    expected = {name: value for name, value in body.items() if name not in remove} | set_
    assert jsonlib.decode(mutated, dict[str, object]) == expected


def test_a_member_that_comes_twice_cannot_smuggle_its_other_value() -> None:
    mutator = BodyMutator(BodyMutation(set=(("a", "3"),)), "backend b")
    assert mutator.apply(b'{"a":1,"a":2,"b":0}') == b'{"a":3,"b":0}'
