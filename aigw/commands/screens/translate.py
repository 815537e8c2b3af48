"""The text of `aigw translate`: one YAML stream, each section under a comment that names it."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from aigw.commands.report import counted
from aigw.commands.translate import Translation

_WIDTH: Final = 100
_NOTE: Final = "Tokens and hashes stand for those that each run makes; credentials are left out."


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data and "\t" not in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)


def complaints(translation: Translation) -> Iterator[str]:
    """For standard error: what is wrong, and what is not in the text at all."""
    for each in translation.problems:
        document = f"document {each.document}: " if each.document is not None else ""
        place = ": ".join(filter(None, (each.object, each.field)))
        yield f"{each.severity}: {document}{f'{place}: ' if place else ''}{each.message}"
    if translation.not_looked_at:
        yield f"note: not looked at: {', '.join(translation.not_looked_at)}"


def text(translation: Translation) -> str:
    return "".join(_parts(translation))


def _parts(translation: Translation) -> Iterator[str]:
    yield f"# {translation.file}: Gateway {translation.gateway}\n# {_NOTE}\n"
    errors = sum(each.severity == "error" for each in translation.problems)
    if errors:
        yield f"# {counted(errors, 'error')}: what is wrong is left out; standard error says what it is.\n"
    if translation.objects is not None:
        yield _section(f"Generated Gateway API objects: {len(translation.objects)}")
        for object_ in translation.objects:
            yield _document(object_)
    if translation.filter is not None:
        yield _section("Configuration of the filters")
        yield _document(translation.filter)
    if translation.xds is not None:
        for name, what in (("base", "before the patches, as Envoy Gateway writes it"), ("patched", "as Envoy gets it")):
            for kind, members in translation.xds[name].items():
                yield _section(f"xDS {what}: {kind}, {len(members)}")
                yield _document({kind: members})


def _section(title: str) -> str:
    return f"\n# {'=' * 76}\n# {title}\n# {'=' * 76}\n"


def _document(content: Any) -> str:
    return "---\n" + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
