"""Label selectors, as Kubernetes reads them."""

from collections.abc import Callable, Mapping
from typing import Final

from extension_server.api.gateway import LabelSelector, LabelSelectorRequirement

NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""of every namespace"""

_OPERATORS: Final[dict[str, Callable[[LabelSelectorRequirement, Mapping[str, str]], bool]]] = {
    "In": lambda wanted, labels: labels.get(wanted.key) in wanted.values,
    "NotIn": lambda wanted, labels: labels.get(wanted.key) not in wanted.values,
    "Exists": lambda wanted, labels: wanted.key in labels,
    "DoesNotExist": lambda wanted, labels: wanted.key not in labels,
}


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """No selector matches nothing, an empty one everything."""
    if selector is None:
        return False
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _OPERATORS[each.operator](each, labels) for each in selector.match_expressions
    )
