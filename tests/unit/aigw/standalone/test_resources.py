"""The resource file: substitution, defaults, and one exact message per defect with file, object and field."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aigw.standalone import verdicts, yaml_documents
from aigw.standalone.resources import BadResources, Loaded, load, read, read_usable
from extension_server.api import aigateway, core, gateway
from extension_server.compile import unserved
from extension_server.compile.snapshot import ref_of
from extension_server.credentials.policy import AwsEnvironment
from filters.contract.secret import Secret

TABLE = yaml.safe_load((Path(__file__).parent / "resource_errors.yaml").read_text())
ENVIRONMENT = {"KEY": "sk-1", "PORT": "8080", "EMPTY": "", "ODD": 'a: "b"\n- ${KEY} $$'}


def content(text: str) -> object:
    document = next(iter(yaml_documents.read(text, ENVIRONMENT)))
    assert document.errors == ()
    return document.content


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${KEY}", "sk-1"),
        ("Bearer ${KEY}!", "Bearer sk-1!"),
        ("${PORT}", 8080),
        ('"${PORT}"', "8080"),
        ("!!str ${PORT}", 8080),
        ("!!str 8080", "8080"),
        ("${NONE:-x}", "x"),
        ("${NONE-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("'${EMPTY-x}'", ""),
        ("'${NONE:-}'", ""),
        ("${NONE:-8080}", 8080),
        ("$$", "$"),
        ("$${KEY}", "${KEY}"),
        (".*$", ".*$"),
        ("$KEY", "$KEY"),
        ("${ODD}", 'a: "b"\n- ${KEY} $$'),
        ("[yes, no, on, 2026-01-02, 1:30, 0x1f, 0o17, 1e3, .5, 1.5e3, true, ~, 007]",
         ["yes", "no", "on", "2026-01-02", "1:30", 31, "0o17", "1e3", 0.5, "1.5e3", True, None, 7]),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
        ("|\n  ${KEY}\n  b\n", "sk-1\nb\n"),
    ],
)  # fmt: skip
def test_scalars_and_variables(text: str, value: object) -> None:
    assert content(text) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_variable_never_changes_the_structure(value: str) -> None:
    document = next(iter(yaml_documents.read('{a: "${V}", b: 1}', {"V": value})))
    assert document.content == {"a": value, "b": 1}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text, "f", {})
    except BadResources as exc:
        assert all(message.startswith("f: ") for message in exc.messages)  # noqa: PT017  the other way is fine too


def test_an_alias_bomb_is_refused() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8))
    document = next(iter(yaml_documents.read(f"a0: &a0 [x]\n{levels}", {})))
    assert document.errors[0].startswith("a")
    assert "more than 1000000 values; is an alias repeated over and over?" in document.errors[0]


def messages(text: str, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    try:
        loaded = read(text, "FILE", environment or {}, home=Path("/nowhere"))
        return verdicts.judge(loaded, token_key=b"k").errors
    except BadResources as exc:
        return exc.messages


@pytest.mark.parametrize(("text", "says"), [pytest.param(c["text"], c["says"], id=c["title"]) for c in TABLE])
def test_each_defect_has_one_message_with_file_object_and_field(text: str, says: list[str]) -> None:
    assert list(messages(text)) == says


@pytest.mark.parametrize(("kind", "version"), [("MCPRoute", "v1beta1"), ("QuotaPolicy", "v1alpha1")])
def test_a_kind_that_this_release_does_not_serve_is_refused_in_the_words_of_its_condition(
    kind: str, version: str
) -> None:
    text = f"{{apiVersion: aigateway.envoyproxy.io/{version}, kind: {kind}, metadata: {{name: o}}}}"
    assert messages(text) == (f"FILE: document 1 ({kind} default/o): {unserved.of_kind(kind)}",)


MIXED = """
apiVersion: v1
kind: List
items:
  - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
  - {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {apiKey: k}, status: {}}
  - {apiVersion: aigateway.envoyproxy.io/v1beta1, kind: AIServiceBackend, metadata: {name: b}, spec: {}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: p}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]
  rateLimit: {type: Global}
  retry: {numRetries: 3}
"""


def test_what_is_right_of_a_file_is_read_whatever_else_is_wrong() -> None:
    loaded = read_usable(MIXED, "FILE", {})
    assert [str(ref_of(each)) for each in loaded.snapshot] == [
        "BackendTrafficPolicy default/p",
        "Secret default/s",
    ]
    assert loaded.snapshot.problem(aigateway.AIServiceBackend, "default", "b") == (
        "spec.schema: Required value; spec.backendRef: Required value"
    )
    assert [str(ref) for ref in loaded.others] == ["Deployment default/d"]
    here = [each for each in loaded.errors if each not in loaded.elsewhere]
    assert here == [
        "FILE: document 1 (AIServiceBackend default/b): spec.schema: Required value",
        "FILE: document 1 (AIServiceBackend default/b): spec.backendRef: Required value",
    ]
    with pytest.raises(BadResources) as caught:
        read(MIXED, "FILE", {})
    assert caught.value.messages == loaded.errors


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadResources) as caught:
        load(tmp_path / "none.yaml", {})
    assert caught.value.messages == (f"{tmp_path}/none.yaml: cannot be read: No such file or directory",)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a: \xff")
    with pytest.raises(BadResources) as caught:
        load(tmp_path / "f", {})
    assert caught.value.messages == (f"{tmp_path}/f: not UTF-8 text (byte 3)",)


SECRET = """
apiVersion: v1
kind: Secret
metadata:
  name: s
  annotations:
    substitution.aigw.run/env/apiKey: KEY
    substitution.aigw.run/file/other: ~/key.txt
    example.com/note: untouched
stringData: {apiKey: written, kept: written}
data: {old: b2xk}
"""


def secret(loaded: Loaded) -> core.Secret:
    found = loaded.snapshot.get(core.Secret, "default", "s")
    assert found is not None
    return found


def test_secrets_take_keys_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("from file")
    loaded = read(SECRET, "f", {"KEY": "from environment"}, home=tmp_path)
    values = {key: secret(loaded).value(key) for key in ("apiKey", "other", "kept", "old", "none")}
    assert values == {
        "apiKey": Secret("from environment"),
        "other": Secret("from file"),
        "kept": Secret("written"),
        "old": Secret("old"),
        "none": None,
    }
    assert loaded.warnings == ()


def test_a_source_that_is_missing_keeps_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("from file")
    loaded = read(SECRET, "f", {}, home=tmp_path)
    assert secret(loaded).value("apiKey") == Secret("written")
    assert loaded.warnings == (
        (
            "f: document 1 (Secret default/s): metadata.annotations[substitution.aigw.run/env/apiKey]: environment "
            "variable KEY is not set; key apiKey keeps the value written in the file"
        ),
    )


def test_aws_keys_of_the_environment_go_with_the_file() -> None:
    text = "{apiVersion: v1, kind: Secret, metadata: {name: s}}"
    assert read(text, "f", {"AWS_ACCESS_KEY_ID": "A"}).aws_environment is None
    keys = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert read(text, "f", keys).aws_environment == AwsEnvironment(
        access_key_id="A", secret_access_key=Secret("s"), session_token=Secret("t")
    )


def test_the_same_name_in_two_namespaces_is_two_objects() -> None:
    document = "{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: {}}}}}"
    loaded = read("\n---\n".join(document.format(name) for name in ("a", "b")), "f", {})
    assert [each.namespace for each in loaded.snapshot.all(core.Secret)] == ["a", "b"]


def test_cluster_wide_objects_have_no_namespace() -> None:
    loaded = read(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, "
        "spec: {controllerName: x/y}}",
        "f",
        {},
    )
    assert loaded.snapshot.get(gateway.GatewayClass, "ignored", "c") is not None


def test_how_envoy_is_deployed_elsewhere_is_left_out_with_a_word() -> None:
    text = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec: {gatewayClassName: c, listeners: [{name: l, protocol: HTTP, port: 80}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: p}
spec: {provider: {type: Kubernetes, kubernetes: {envoyDeployment: {container: {resources: {}}}}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {name: early}
spec:
  type: APIKey
  apiKey: {secretRef: {name: s}}
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: b}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: r}
spec: {rules: []}
"""
    judged = verdicts.judge(read(text, "f", {}), token_key=b"k")
    assert judged.errors == ()
    assert judged.warnings == (
        (
            "f: document 1 (Gateway default/g): spec.gatewayClassName: GatewayClass c not found; create it or correct "
            "the name"
        ),
        (
            "f: document 2 (EnvoyProxy default/p): spec.provider: is left out: it says how Envoy is deployed, and "
            "standalone starts Envoy itself"
        ),
        (
            "f: document 3 (BackendSecurityPolicy default/early): spec.targetRefs[0].name: AIServiceBackend default/b "
            "not found; create it or correct the name"
        ),
        (
            "f: document 4 (AIGatewayRoute default/r): spec.parentRefs: names no Gateway, so the route is not served; "
            "add the Gateway's name"
        ),
    )
