"""Programs that no Python package carries: Debian's packages, quietly, where root allows."""

import os
import shutil
import subprocess
import sys


def install(package: str, purpose: str) -> None:
    """Does nothing where there is no apt or no root; whoever asks looks again."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return
    sys.stderr.write(f"Installing {package} for {purpose} …\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
        subprocess.run([apt, "-qq", *arguments], env=environment, stdout=sys.stderr, check=False)
