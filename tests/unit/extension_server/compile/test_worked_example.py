"""One configuration compiled whole: generated objects, filter configuration, and what changes with the input."""

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import Compiled, CompiledBackend, CompiledRule, ObjectRef
from extension_server.compile.routes import FAIL_CLOSED_BODY
from extension_server.compile.snapshot import Snapshot
from filters.contract import config
from filters.contract.config import (
    Backend,
    Cost,
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
from tests.support.manifests import objects

WORLD = (Path(__file__).parent / "world.yaml").read_text()
EDGE = ObjectRef("Gateway", "infra", "edge")
PRIMARY = "team-a/primary/route/chat/rule/0/ref/0"
KEY = "team-a/primary-key APIKey Secret team-a/openai"
SPARE = "team-a/spare/route/chat/rule/0/ref/1"


def compiled(text: str = WORLD, key: bytes = b"key") -> Compiled:
    return compile_gateway(Snapshot(objects(text)), EDGE, token_key=key)


def test_the_filter_configuration_of_the_example() -> None:
    result = compiled()
    token = result.rules[0].token
    assert len(token) == 32
    assert result.filter_config == FilterConfig(
        gateway="infra/edge",
        listeners=(
            Listener(
                name="infra/edge/https",
                virtual_hosts=(
                    VirtualHost(
                        domains=("llm.example.com",),
                        matches=(Match(rule="team-a/chat/rule/0", model="m1"),),
                        models=(Model(id="m1", owned_by="Envoy AI Gateway", created=1767323045),),
                    ),
                ),
            ),
        ),
        rules=(
            Rule(
                name="team-a/chat/rule/0",
                route="team-a/chat",
                token=token,
                plan="attempt",
                backends=(PRIMARY, SPARE),
                costs=(Cost(metadata_key="tok", type="TotalToken"),),
            ),
        ),
        backends=(
            Backend(
                name=PRIMARY,
                short_name="team-a/primary",
                schema=Schema(name="OpenAI", prefix="v1"),
                host="api.openai.com",
                credential=KEY,
            ),
            Backend(
                name=SPARE,
                short_name="team-b/spare",
                schema=Schema(name="AzureOpenAI", version="2025-01-01-preview"),
                model_override="m1-lite",
            ),
        ),
        credentials={KEY: HeaderCredential(name="authorization", value=Secret("Bearer sk-1"))},
    )
    assert config.decode(result.document) == result.filter_config
    assert result.findings == ()


def test_the_rule_as_the_patches_need_it() -> None:
    result = compiled()
    assert result.rules == (
        CompiledRule(
            http_route=ObjectRef("HTTPRoute", "team-a", "chat"),
            http_rule=0,
            route="team-a/chat",
            rule=0,
            token=result.rules[0].token,
            plan="attempt",
            reason="The 2 backends differ in: schema, model override, credentials.",
            backends=(
                CompiledBackend(ref=0, name=PRIMARY, host="api.openai.com", priority=0, weight=1),
                CompiledBackend(ref=1, name=SPARE, host="", priority=1, weight=3),
            ),
            stream_idle_timeout=5.0,
        ),
    )
    assert result.fallbacks == ((ObjectRef("HTTPRoute", "team-a", "chat"), 1),)


def test_the_generated_objects_of_the_example() -> None:
    result = compiled()
    expected = (Path(__file__).parent / "world_objects.yaml").read_text()
    expected = expected.replace("TOKEN", result.rules[0].token).replace("BODY", yaml.dump(FAIL_CLOSED_BODY, width=9999))
    assert [each.dump() for each in result.objects] == list(yaml.safe_load_all(expected))  # type: ignore[attr-defined]


@given(st.permutations(list(objects(WORLD))))
def test_the_order_of_the_objects_does_not_matter(order: list) -> None:  # type: ignore[type-arg]
    assert compile_gateway(Snapshot(order), EDGE, token_key=b"key") == compiled()


def test_a_token_changes_with_whatever_the_filter_or_envoy_would_do_differently() -> None:
    changes = (
        ("value: m1}", "value: m2}"),
        ("modelNameOverride: m1-lite", "modelNameOverride: m1-tiny"),
        ("address: 10.0.0.1", "address: 10.0.0.2"),
        ("type: TotalToken", "type: InputToken"),
        ("name: OpenAI}", "name: OpenAI, prefix: v2}"),
    )
    tokens = [compiled().rules[0].token, compiled(key=b"other").rules[0].token]
    for old, new in changes:
        assert old in WORLD
        tokens.append(compiled(WORLD.replace(old, new)).rules[0].token)
    assert len(set(tokens)) == len(tokens)


def test_a_new_value_of_a_secret_changes_no_token_and_no_hash_of_the_configuration() -> None:
    changed = compiled(WORLD.replace("c2stMQo=", "c2stMgo="))
    assert changed.objects == compiled().objects
    assert changed.rules == compiled().rules
    assert changed.config_hash == compiled().config_hash
    assert changed.credentials_hash != compiled().credentials_hash
    assert changed.filter_config.credentials[KEY] == HeaderCredential("authorization", Secret("Bearer sk-2"))


def test_another_secret_changes_the_token_even_when_it_holds_the_same() -> None:
    changed = compiled(
        WORLD.replace("name: openai,", "name: other,").replace("secretRef: {name: openai}", "secretRef: {name: other}")
    )
    assert changed.rules[0].token != compiled().rules[0].token


def test_a_token_stays_when_only_the_share_of_traffic_changes() -> None:
    changed = compiled(WORLD.replace("weight: 3", "weight: 4"))
    assert changed.rules[0].token == compiled().rules[0].token
    assert changed.config_hash == compiled().config_hash


def test_secrets_do_not_print() -> None:
    assert "sk-1" not in repr(compiled().filter_config)
    assert b"sk-1" in compiled().document
