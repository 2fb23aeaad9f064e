"""`python -m sluice.local.image`: builds both images with what this machine has: docker, podman, buildah, a starter."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sluice.errors import SettingsError, SluiceError, UnavailableError
from sluice.local.tools import ROOT

STARTER: Final = "SLUICE_CLUSTER"
"""A program that starts a cluster of its own, and builds images for it: `PROGRAM image build`, as `docker build`."""
PROBES: Final = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "info", "--format", "{{.Version.Version}}"),
    "buildah": ("buildah", "version"),
}
"""What each must answer to be of use, best first: a docker without its daemon builds nothing."""
PROBE_S: Final = 20.0
TRITONS: Final = {"nvidia": "infra/triton/Containerfile", "wheel": "infra/triton/Containerfile.wheel"}
_TAG = re.compile(r"(?P<name>[a-z0-9](?:[a-z0-9._/:-]*?[a-z0-9])?)(?::(?P<version>[A-Za-z0-9_][A-Za-z0-9_.-]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is built of what; *context* and *file* are relative to the checkout."""

    tag: str
    file: str
    context: str
    arguments: tuple[tuple[str, str], ...] = ()

    def command(self, builder: Sequence[str], options: Sequence[str] = ()) -> tuple[str, ...]:
        """The same words for all builders."""
        given = [word for name, value in self.arguments for word in ("--build-arg", f"{name}={value}")]
        place = str((ROOT / self.context).resolve())
        return (*builder, "-t", self.tag, "-f", str(ROOT / self.file), *given, *options, place)


def find_builder(environment: Mapping[str, str], works: Callable[[str], str | None]) -> tuple[str, ...]:
    """The starter that the environment names, else the first builder that *works*, which says why not, or None."""
    if starter := environment.get(STARTER):
        found = shutil.which(starter)
        if found is None:
            raise UnavailableError(STARTER, f"{starter} is no program")
        return (found, "image", "build")
    reasons: list[str] = []
    for name in PROBES:
        reason = works(name)
        if reason is None:
            return (name, "build")
        reasons.append(f"{name}: {reason}")
    raise UnavailableError(
        "a builder of images",
        f"install Docker, Podman or Buildah, or name a cluster starter in {STARTER} ({'; '.join(reasons)})",
    )


def why_not(name: str) -> str | None:
    """Why the builder *name* cannot be used here, or None."""
    if shutil.which(name) is None:
        return "not on PATH"
    try:
        probe = subprocess.run(PROBES[name], capture_output=True, text=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if probe.returncode == 0 else (probe.stderr.strip().splitlines() or ["does not answer"])[-1]


def images(tag: str, *, triton: str, revision: str) -> tuple[Image, Image]:
    """Of Sluice and of Triton; the second is named as the first, with `-triton`."""
    parts = _TAG.fullmatch(tag)
    if parts is None:
        raise SettingsError((f"the image {tag!r} is no name:version",))
    name, version = parts["name"], parts["version"] or "latest"
    known = (("VERSION", version), ("REVISION", revision))
    return (
        Image(tag=f"{name}:{version}", file="Containerfile", context=".", arguments=known),
        # That of the wheel needs our backends as well.
        Image(tag=f"{name}-triton:{version}", file=TRITONS[triton], context="." if triton == "wheel" else "build"),
    )


def write_models() -> None:
    """Make the repository that goes into Triton's image; says what is left out."""
    from sluice.models.repository import assemble

    for name in assemble(ROOT / "build" / "models", added=ROOT / ".sluice" / "models", apart=True):
        print(f"without {name}, which has no weights here: run `make tools`", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build them; words that this command does not know go to the builder."""
    parser = argparse.ArgumentParser(prog="python -m sluice.local.image", description=__doc__, epilog=main.__doc__)
    parser.add_argument("--tag", default="sluice:dev", metavar="NAME:VERSION", help="default sluice:dev")
    parser.add_argument("--only", choices=("sluice", "triton"), help="one of the two")
    parser.add_argument("--triton", choices=tuple(TRITONS), default="nvidia", help="whose server; default nvidia")
    options, others = parser.parse_known_args(arguments)
    try:
        ours, tritons = images(options.tag, triton=options.triton, revision=_revision())
        builder = find_builder(os.environ, why_not)
        if options.only != "sluice":
            write_models()
    except SluiceError as error:
        print(error, file=sys.stderr)
        return 1
    for name, image in (("sluice", ours), ("triton", tritons)):
        if options.only in (None, name):
            command = image.command(builder, others)
            print(" ".join(command), flush=True)
            if status := subprocess.run(command, check=False).returncode:
                return status
    return 0


def _revision() -> str:
    """The commit that is checked out, as git says it."""
    try:
        shown = subprocess.run(
            ("git", "-C", ROOT, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"),
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return shown.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
