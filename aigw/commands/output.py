"""Results as JSON for machines. Every document names its form (`format`), which docs/commands.md describes.

Members are added to a form, never renamed or taken away; a form that must change otherwise gets a new number.
"""

from typing import Any, Final

import msgspec

VERSION: Final = "v1"


def document(command: str, content: Any) -> str:
    """The JSON text of a result (dataclasses, plain values), indented, with its form first."""
    members = {"format": f"aigw/{command}/{VERSION}", **msgspec.to_builtins(content, str_keys=True)}
    return msgspec.json.format(msgspec.json.encode(members), indent=2).decode()
