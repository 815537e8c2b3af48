"""What is said about a whole file."""

import yaml

from aigw.standalone import resources, verdicts
from tests.standalone import files


def warnings(*documents: files.Document | list[files.Document]) -> tuple[str, ...]:
    flat = [each for document in documents for each in (document if isinstance(document, list) else [document])]
    text = yaml.safe_dump_all(flat).replace("'PORT'", "1975").replace("PORT", "1975")
    verdict = verdicts.judge(resources.read(text, "f.yaml", {}), token_key=bytes(32))
    assert verdict.errors == ()
    return verdict.warnings


def test_a_backend_that_nobody_can_translate_for_is_told_at_the_start() -> None:
    backends = [*files.backend("a", "OpenAI", 9), *files.backend("b", "GCPVertexAI", 9)]
    route = files.route({"m": [{"name": "a"}], "n": [{"name": "b"}]})
    (said,) = warnings(files.gateway(), route, backends)
    assert said.startswith(
        "f.yaml: document 7 (AIServiceBackend default/b): spec.schema.name: GCPVertexAI is not served"
    )
