"""Every code that a client can be given is explained in docs/errors.md, and nothing else is."""

import re
from pathlib import Path

from filters.extproc import envoy_answers

ROOT = Path(__file__).parents[3]
ELSEWHERE = {
    "internal_error",
    "worker_gone",
    "not_mediated",
    "filter_missing",
    "filter_timeout",
    "filter_unavailable",
    "answer_truncated",
}
"""codes of the server itself, of the generated last route, and of Envoy without the filter, written in other ways"""


def test_every_code_is_explained() -> None:
    raised = {
        code
        for path in (ROOT / "filters").rglob("*.py")
        for code in re.findall(r'\bcode(?:: str )?=\s?"([a-z_]+)"', path.read_text())
    }
    envoys = {code for _, code, _ in envoy_answers.BY_STATUS.values()} | {code for _, code in envoy_answers.BY_TEXT}
    explained = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert explained == raised | envoys | {envoy_answers.OTHER[1]} | ELSEWHERE
