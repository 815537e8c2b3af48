"""Writes `filters/contract/schemas.py`: the values of `AIServiceBackend.spec.schema.name`.

They are the API's own (some of which wait for their provider) and those of every module in `filters/providers`, so that
a new provider is one file: the type of the filter configuration and the enum of the CRD follow from it.

python -m hack.generate_schemas          # `make generate`
python -m hack.generate_schemas --check  # `make check-generated`: exit code 1 when it is stale
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from filters.providers import registry

FILE: Final = Path(__file__).parent.parent / "filters" / "contract" / "schemas.py"
API: Final = (
    "OpenAI",
    "Cohere",
    "AWSBedrock",
    "AzureOpenAI",
    "GCPVertexAI",
    "GCPAnthropic",
    "Anthropic",
    "AWSAnthropic",
)
"""In the order of the CRD, where they are since its first version."""


def render(provided: Iterable[str]) -> str:
    """The module's text. `provided` are the schemas of the provider modules."""
    provided = frozenset(provided)
    names = [*API, *sorted(provided - set(API))]
    lines = "".join(f'    "{name}",\n' for name in names)
    served = "".join(f'        "{name}",\n' for name in names if name in provided)
    return f'''"""The APIs that upstreams speak. Written by `make generate` from filters/providers."""

from typing import Final, Literal

SERVED: Final = frozenset(
    {{
{served}    }}
)
"""Those that a provider module translates for; the others wait for theirs."""

SchemaName = Literal[
{lines}]
'''


def main() -> int:
    text = render(registry.load())
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        print(f"{FILE.name} is stale: run `make generate`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
