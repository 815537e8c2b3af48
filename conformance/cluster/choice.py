"""Which cluster the tests run on: the one that is named, else the first that this machine can have."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conformance.cluster import kind, lab
from conformance.cluster.cluster import Cluster, NotAvailable

VARIABLE: Final = "AIGW_CLUSTER"
"""lab or kind"""


@dataclass(frozen=True, slots=True)
class Programs:
    """Files that a cluster is made with, where it needs any."""

    kind: Path
    kubectl: Path
    folder: Path
    """for the files of clusters"""


@contextlib.contextmanager
def opened(name: str, programs: Programs, envoy_gateway: str) -> Iterator[Cluster]:
    """`name`: what `chosen` said. `envoy_gateway`: release whose images are to be at hand. Raises NotAvailable."""
    if name == "kind":
        with kind.running(programs.kind, programs.kubectl, programs.folder / "kind") as cluster:
            yield cluster
    else:
        with lab.running(envoy_gateway) as cluster:
            yield cluster


def chosen() -> str:
    """`lab` or `kind`. Raises NotAvailable, which says for each why it cannot be had."""
    named = os.environ.get(VARIABLE, "")
    reasons = {"lab": _why_no_lab(), "kind": kind.why_not()}
    if named:
        if named not in reasons:
            raise NotAvailable(f"{VARIABLE}={named}: there are {' and '.join(reasons)}")
        reasons = {named: reasons[named]}
    for name, reason in reasons.items():
        if not reason:
            return name
    raise NotAvailable("; ".join(reasons.values()))


def _why_no_lab() -> str:
    if not sys.platform.startswith("linux"):
        return "the lab needs Linux"
    return "" if os.geteuid() == 0 else "the lab needs root"
