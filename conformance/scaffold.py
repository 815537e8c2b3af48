"""`make new-provider NAME=acme`: the module of a provider and its first cases, which run as they are.

Two places are written: `filters/providers/<name>.py` and `conformance/cases/<name>/`. The registry finds the module by
itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

import jinja2

from filters.contract.schemas import SchemaName

ROOT: Final = Path(__file__).parent.parent
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TEMPLATES: Final = Path(__file__).parent / "templates"


class ScaffoldError(ValueError):
    """The provider cannot be made. The text says why."""


def write(name: str, *, schema: str = "", root: Path = ROOT) -> list[Path]:
    """Writes the files of provider `name`; returns them. Raises ScaffoldError, with nothing written.

    `schema` is the schema name of its backends; by default `name` in CamelCase.
    """
    if not _NAME.fullmatch(name):
        raise ScaffoldError(f"NAME={name}: use lower_snake_case, for example NAME=acme")
    module = root / "filters" / "providers" / f"{name}.py"
    cases = root / "conformance" / "cases" / name
    for path in (module, cases):
        if path.exists():
            raise ScaffoldError(f"{path} exists already")
    title = name.replace("_", " ").title()
    schema = schema or title.replace(" ", "")
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(_render("provider.py.j2", title=title, schema=schema))
    written = [module]
    texts = {
        "provider.yaml": _PROVIDER.format(schema=schema),
        "requirements.yaml": _requirements(name, title),
        **_cases(name, title),
    }
    for relative, text in texts.items():
        file = cases / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        written.append(file)
    return written


def next_steps(name: str, schema: str = "") -> str:
    """What a person does after `write`."""
    schema = schema or name.replace("_", " ").title().replace(" ", "")
    steps = [f"make fixtures PROVIDER={name}", f"make conformance PROVIDER={name}"]
    if schema not in get_args(SchemaName):
        steps.insert(0, f"make generate    # {schema} becomes a value of schema.name, in the CRD too")
    return "next:\n" + "\n".join(f"  {step}" for step in steps)


def _render(template: str, **values: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(template).render(values)


def _requirements(name: str, title: str) -> str:
    return "".join(
        f"- id: {name}-{case}\n  source: link to the paragraph of the provider's reference\n"
        f"  text: {title} {description}\n"
        for case, (description, *_) in _CASES.items()
    )


def _cases(name: str, title: str) -> Mapping[str, str]:
    files: dict[str, str] = {}
    for case, (description, suffix, client, upstream) in _CASES.items():
        folder = f"chat_completions/{case}"
        files[f"{folder}/case.yaml"] = f"description: {title} {description}\nrequirements: [{name}-{case}]\n" + (
            _FAILING if case == "error" else ""
        )
        files[f"{folder}/client_request.json"] = client
        files[f"{folder}/upstream_response.{suffix}"] = upstream
    return files


_PROVIDER: Final = """\
backend:
  schema: {{name: {schema}}}
  credential: {{kind: header, name: authorization, value: Bearer upstream-key}}
"""
_FAILING: Final = "upstream:\n  status: 429\n"
_MESSAGES: Final = '"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]'
_CASES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "unary-text": (
        "answers with text.",
        "json",
        f'{{"model": "m-1", {_MESSAGES}, "max_tokens": 10}}\n',
        '{"text": "Hello.", "stop": "done", "tokens": {"in": 9, "out": 2}}\n',
    ),
    "stream-text": (
        "streams text.",
        "sse",
        f'{{"model": "m-1", {_MESSAGES}, "stream": true, "stream_options": {{"include_usage": true}}}}\n',
        'data: {"text": "Hel"}\n\ndata: {"text": "lo."}\n\ndata: {"stop": "done", "tokens": {"in": 9, "out": 2}}\n\n',
    ),
    "stream-cut": (
        "breaks off in mid-stream.",
        "sse",
        f'{{"model": "m-1", {_MESSAGES}, "stream": true}}\n',
        'data: {"text": "Hel"}\n\ndata: {"te',
    ),
    "error": (
        "reports an error.",
        "json",
        f'{{"model": "m-1", {_MESSAGES}}}\n',
        '{"problem": "slow down"}\n',
    ),
}
"""name → description, kind of answer, the client's request, the provider's answer"""
