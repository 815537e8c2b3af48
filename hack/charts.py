"""Lints the Helm charts and packs them into out/charts: `make charts`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from hack.tools import build

ROOT: Final = Path(__file__).parent.parent
CHARTS: Final = ("ai-gateway-crds-helm", "ai-gateway-helm")
KUBERNETES: Final = "1.35.4"


def main() -> int:
    """Exit code of the first helm that fails."""
    helm, target = str(build.place("helm")), ROOT / "out" / "charts"
    for name in CHARTS:
        chart = str(ROOT / "manifests" / "charts" / name)
        for arguments in (
            ["lint", "--strict", "--quiet", "--kube-version", KUBERNETES, chart],
            ["package", chart, "--destination", str(target)],
        ):
            done = subprocess.run([helm, *arguments], check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
