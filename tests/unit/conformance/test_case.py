import gzip
from pathlib import Path

import pytest

from conformance.case import CaseError, load, load_all
from filters.contract.config import AwsCredential, BodyMutation, HeaderMutation, Schema
from filters.streams import eventstream

PROVIDER = """\
backend:
  schema: {name: AWSBedrock}
  host: bedrock-runtime.us-east-1.amazonaws.com
  credential: {kind: aws, region: us-east-1, access_key_id: AKIATEST, secret_access_key: test-secret}
"""
CASE = "description: it answers\nrequirements: [r-1]\n"


def folder(root: Path, case: str = CASE, provider: str = PROVIDER, **files: str) -> Path:
    directory = root / "bedrock" / "chat_completions" / "plain"
    directory.mkdir(parents=True)
    (root / "bedrock" / "provider.yaml").write_text(provider)
    (directory / "case.yaml").write_text(case)
    (directory / "client_request.json").write_text('{"model": "m"}')
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)
    return directory


def test_a_folder_is_a_case(tmp_path: Path) -> None:
    case = load(folder(tmp_path, upstream_response__json='{"a": 1}'), tmp_path)
    assert (case.name, case.provider, case.endpoint) == (
        "bedrock/chat_completions/plain",
        "bedrock",
        "chat_completions",
    )
    assert case.backend.schema == Schema(name="AWSBedrock")
    assert isinstance(case.credential, AwsCredential)
    assert case.answer is not None
    assert (case.answer.status, case.answer.body) == (200, b'{"a": 1}')
    assert dict(case.answer.headers) == {"content-type": "application/json"}
    assert (case.plans, case.via) == (("single", "attempt"), ("process", "envoy"))


def test_the_cases_backend_is_merged_over_the_providers(tmp_path: Path) -> None:
    more = """\
backend:
  schema: {version: v9}
  host: null
  credential: {kind: header, name: x-api-key, value: k}
  header_mutation: {set: {b: "2", a: "1"}, remove: [c]}
  body_mutation: {set: {n: 1, o: {p: [true]}}, remove: [q]}
"""
    case = load(folder(tmp_path, CASE + more), tmp_path)
    backend = case.backend
    assert (backend.schema, backend.host) == (Schema(name="AWSBedrock", version="v9"), "")
    assert repr(case.credential) == "HeaderCredential(name='x-api-key', value=[redacted])"
    assert backend.header_mutation == HeaderMutation(set=(("a", "1"), ("b", "2")), remove=("c",))
    assert backend.body_mutation == BodyMutation(set=(("n", "1"), ("o", '{"p":[true]}')), remove=("q",))


def test_openai_and_anthropic_get_the_compilers_default_prefix(tmp_path: Path) -> None:
    assert load(folder(tmp_path, provider="backend: {schema: {name: OpenAI}}"), tmp_path).backend.schema.prefix == "v1"


def test_the_client_sends_json_unless_the_case_says_otherwise(tmp_path: Path) -> None:
    client = "client: {headers: {X-One: '1', Content-Type: ''}}\n"
    assert load(folder(tmp_path, CASE + client), tmp_path).client.sent_headers() == {"x-one": "1"}


def test_events_are_framed_and_then_compressed(tmp_path: Path) -> None:
    lines = '{"headers": {":event-type": "messageStart"}, "payload": {"role": "assistant"}}\n'
    case = CASE + "upstream: {headers: {Content-Encoding: gzip}}\n"
    answer = load(folder(tmp_path, case, upstream_response__events__jsonl=lines), tmp_path).answer
    assert answer is not None
    (message,) = eventstream.Decoder().feed(gzip.decompress(answer.body))
    assert message.payload == b'{"role":"assistant"}'


@pytest.mark.parametrize(
    ("case", "files", "text"),
    [
        ("description: x\n", {}, "case.yaml: Object missing required field `requirements`"),
        ("description: x\nrequirements: []\n", {}, "requirements: name at least one"),
        (CASE + "plan: [single]\n", {}, "unknown field `plan`"),
        (CASE + "upstream: {cut: off}\n", {}, r"upstream.cut"),
        (CASE + "via: [process]\n", {}, "via: a runner is left out"),
        (CASE + "backend: {schema: {name: Nobody}}\n", {}, r"merged over provider.yaml\): Invalid enum value 'Nobody'"),
        (CASE + "a: [\n", {}, "case.yaml: while parsing"),
        (CASE, {"upstream_response__xml": "<a/>"}, "its ending is none of"),
        (CASE, {"upstream_response__json": "{}", "upstream_response__txt": ""}, "more than one upstream_response"),
        (CASE, {"upstream_response__events__jsonl": "{}"}, "line 1: KeyError"),
        (
            CASE + "upstream: {headers: {content-encoding: lz4}}\n",
            {"upstream_response__json": "{}"},
            "'lz4' is none of",
        ),
    ],
)
def test_a_defect_is_named_with_its_file(tmp_path: Path, case: str, files: dict[str, str], text: str) -> None:
    with pytest.raises(CaseError, match=text):
        load(folder(tmp_path, case, **files), tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    directory = folder(tmp_path)
    (directory / "client_request.json").unlink()
    with pytest.raises(CaseError, match=r"client_request\.json: No such file"):
        load(directory, tmp_path)
    (directory / "case.yaml").unlink()
    with pytest.raises(CaseError, match=r"case\.yaml is missing"):
        load_all(tmp_path)


def test_a_provider_without_cases_is_named(tmp_path: Path) -> None:
    folder(tmp_path)
    assert [case.provider for case in load_all(tmp_path, "bedrock")] == ["bedrock"]
    with pytest.raises(CaseError, match="no provider 'acme' \\(there are: bedrock\\)"):
        load_all(tmp_path, "acme")
