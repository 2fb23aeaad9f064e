"""`make test-cluster`: images into a cluster, the whole line onto it, then the tests where it can be reached.

SLUICE_CLUSTER names a program that starts a cluster of its own and takes images into it (`up`, `down`, `status`,
`kubectl`, `image build`, `image load`, `exec`); without it KUBECONFIG names a cluster, and SLUICE_IMAGE and
SLUICE_TRITON_IMAGE what it can pull.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.images import ROOT, SLUICE, TRITON, Image, write_models

IMAGES = {"SLUICE_IMAGE": SLUICE, "SLUICE_TRITON_IMAGE": TRITON}


def main(arguments: list[str]) -> int:
    """Run it all; the tests' status."""
    starter = os.environ.get("SLUICE_CLUSTER", "")
    if starter:
        try:
            return _started(str(Path(starter).absolute()), arguments)
        except (OSError, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)
            return 2
    missing = [name for name in ("KUBECONFIG", *IMAGES) if not os.environ.get(name)]
    if missing:
        print(f"no cluster is named: set SLUICE_CLUSTER, or else {', '.join(missing)}", file=sys.stderr)
        return 2
    return _tested([], dict(os.environ), arguments)


def _started(starter: str, arguments: list[str]) -> int:
    # What was running stays, as does who uses it.
    ours = not _runs(starter)
    if ours:
        _do(starter, "up")
    try:
        write_models(sys.executable)
        tags = {name: _brought(starter, image) for name, image in IMAGES.items()}
        return _tested([starter, "exec"], {**os.environ, **tags}, arguments)
    finally:
        if ours:
            _do(starter, "down")


def _runs(starter: str) -> bool:
    return subprocess.run([starter, "status"], capture_output=True, check=False).returncode == 0


def _brought(starter: str, image: Image) -> str:
    """Its tag, when it is built and loaded, unless the cluster has that very content already."""
    tag = image.tag()
    asked = [starter, "kubectl", "get", "nodes", "--output=jsonpath={.items[*].status.images[*].names[*]}"]
    there = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    if any(name.endswith(f"/{tag}") for name in there):
        print(f"{tag} is there already", flush=True)
        return tag
    _do(starter, "image", "build", *image.build(tag))
    _do(starter, "image", "load", tag)
    return tag


def _tested(inside: list[str], environment: dict[str, str], arguments: list[str]) -> int:
    command = [*inside, sys.executable, "-m", "tests.cluster.deployed", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


def _do(*command: str) -> None:
    began = time.monotonic()
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
    print(f"{Path(command[0]).name} {' '.join(command[1:3])}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
