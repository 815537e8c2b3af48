"""Which plan serves a rule: `single` only when every backend takes the very same request."""

import msgspec
import pytest

from extension_server.compile.plans import choose
from filters.contract.config import Backend, BodyMutation, HeaderMutation, Schema

AWS = "n/aws AWSCredentials region us-east-1"
PLAIN = Backend(name="a", short_name="n/a", schema=Schema(name="OpenAI", prefix="v1"), host="one.example")


def other(**changes: object) -> Backend:
    return msgspec.structs.replace(PLAIN, name="b", short_name="n/b", **changes)


@pytest.mark.parametrize(
    ("backends", "plan", "reason"),
    [
        ([PLAIN], "single", "One backend."),
        ([], "single", "No usable backend: requests are answered with 503."),
        ([PLAIN, other()], "single", "The 2 backends take the same request."),
        ([PLAIN, other(host="two.example")], "single", "The 2 backends take the same request."),
        (
            [
                msgspec.structs.replace(PLAIN, credential=AWS),
                other(host="two.example", credential=AWS),
            ],
            "attempt",
            "The 2 backends differ in: signed host.",
        ),
        (
            [msgspec.structs.replace(PLAIN, credential=AWS), other(credential=AWS)],
            "single",
            "The 2 backends take the same request.",
        ),
        ([PLAIN, other(schema=Schema(name="Anthropic"))], "attempt", "The 2 backends differ in: schema."),
        ([PLAIN, other(schema=Schema(name="OpenAI", prefix="v2"))], "attempt", "The 2 backends differ in: schema."),
        ([PLAIN, other(), other(model_override="m")], "attempt", "The 3 backends differ in: model override."),
        (
            [PLAIN, other(credential="n/other APIKey Secret n/s")],
            "attempt",
            "The 2 backends differ in: credentials.",
        ),
        (
            [PLAIN, other(header_mutation=HeaderMutation(remove=("x",)), body_mutation=BodyMutation(remove=("y",)))],
            "attempt",
            "The 2 backends differ in: header mutation, body mutation.",
        ),
    ],
)
def test_the_plan_follows_from_what_the_backends_differ_in(backends: list[Backend], plan: str, reason: str) -> None:
    choice = choose(backends, user_filters=False, signing={AWS})
    assert (choice.plan, choice.reason) == (plan, reason)


def test_a_user_filter_after_ours_never_sees_a_credential() -> None:
    assert choose([PLAIN], user_filters=True).plan == "attempt"


@pytest.mark.parametrize(
    ("matched", "changed"),
    [
        (("x-tenant",), ""),
        (("x-removed", "x-tenant"), "x-removed"),
        (("x-set",), "x-set"),
        (("authorization", "anthropic-beta"), "anthropic-beta, authorization"),
    ],
)
def test_a_match_on_a_header_that_the_backend_changes_needs_attempts(matched: tuple[str, ...], changed: str) -> None:
    mutation = HeaderMutation(set=(("x-set", "1"),), remove=("x-removed",))
    choice = choose([other(header_mutation=mutation)], user_filters=False, matched=matched)
    assert choice.plan == ("attempt" if changed else "single")
    if changed:
        assert choice.reason == f"A match reads what the request to the backend changes: {changed}."
