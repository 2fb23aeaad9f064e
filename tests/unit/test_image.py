"""The images: what is in them, as whom they run, and who builds them."""

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from sluice.errors import SettingsError, UnavailableError
from sluice.local import image
from sluice.local.tools import ROOT

FILES = ("Containerfile", "infra/triton/Containerfile", "infra/triton/Containerfile.wheel")
LOCKS = ("requirements-image.txt", "requirements-image-triton.txt")
LAPTOP = ("aiohttp", "cronsim", "onnx", "setuptools", "boto3", "botocore", "hypothesis", "pytest")
"""What the image has not got."""
BLOCKED = """
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in {names}:
    importlib.import_module(name)
"""


def instructions(name: str) -> list[tuple[str, str]]:
    """Of a Containerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def copied(name: str) -> list[str]:
    """Paths that come from the build's context."""
    words = [rest.split() for kind, rest in instructions(name) if kind == "COPY" and "--from=" not in rest]
    return [path for each in words for path in [word for word in each if not word.startswith("--")][:-1]]


def pins(name: str) -> dict[str, str]:
    """Each requirement of a lock file with its marker and hashes, by its name and version."""
    text = (ROOT / name).read_text("utf-8")
    return {
        each.split(";")[0].split("\\")[0].strip(): each
        for each in re.findall(r"^\S.*(?:\n[ \t]+.*)*", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", FILES)
def test_a_container_runs_as_a_numbered_user_that_is_not_root(name: str) -> None:
    """Kubernetes can check runAsNonRoot on a number alone; and nothing in the last stage follows as root."""
    users = [rest for kind, rest in instructions(name) if kind == "USER"]

    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[0])
    after = [kind for kind, _ in instructions(name)[[kind for kind, _ in instructions(name)].index("USER") :]]
    assert not {"RUN", "COPY", "ADD", "FROM"} & set(after)


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there(name: str) -> None:
    """And is let through by .dockerignore; NVIDIA's is built in `build`, which `make image` fills."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    made = {"models", "build/models"}

    for path in copied(name):
        assert path in made or (ROOT / path).exists()
        assert path == "models" or any(path == each or fnmatch(path, f"{each}/*") for each in allowed)


def test_every_shipped_part_is_copied() -> None:
    """Our modules as a whole; whoever adds a package here finds that the image lacks it."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert packages <= set(copied("Containerfile"))


@pytest.mark.parametrize("name", LOCKS)
def test_packages_are_pinned_with_hashes_and_no_registry(name: str) -> None:
    """Nothing that was not reviewed gets into an image."""
    text = (ROOT / name).read_text("utf-8")

    assert pins(name)
    assert all("==" in pin and "--hash=sha256:" in entry for pin, entry in pins(name).items())
    assert "://" not in text
    assert "--index" not in text


@pytest.mark.parametrize(
    ("part", "whole"), [(LOCKS[0], "requirements.txt"), (LOCKS[1], "requirements-triton.txt")], ids=["sluice", "triton"]
)
def test_the_image_has_what_was_tested(part: str, whole: str) -> None:
    """The same versions, hashes and markers as on a laptop, and fewer of them."""
    tested = pins(whole)

    assert pins(part).items() <= tested.items()
    assert len(pins(part)) < len(tested)


def test_the_image_has_what_a_run_needs_and_nothing_of_a_laptop() -> None:
    """Pyproject's dependencies, each; of its extras none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[\[<>=~]", each)[0] for each in project["dependencies"]}
    extra = {re.split(r"[\[<>=~]", each)[0] for group in project["optional-dependencies"].values() for each in group}
    there = {pin.partition("==")[0] for pin in pins(LOCKS[0])}

    assert wanted <= there
    assert not there & (extra | set(LAPTOP))


def test_parts_and_commands_need_nothing_that_the_image_has_not_got() -> None:
    """Each module that a manifest starts, each command's, and what commands load only when they are used."""
    manifests = "".join(
        path.read_text("utf-8") for path in sorted((ROOT / "infra" / "knative" / "base").glob("*.yaml"))
    )
    started = [words.split(", ") for words in re.findall(r"command: \[python, -m, ([^\]]+)\]", manifests)]
    parts = {words[1] if words[0] == "sluice.serving" else words[0] for words in started}
    commands = {f"sluice.cli.{path.stem}" for path in (ROOT / "sluice" / "cli").glob("*.py")}
    later = {"segmenter.__main__", "segmenter.fleet.worker", "sluice.local.deadletters", "sluice.preparation.prepare"}

    code = BLOCKED.format(absent=set(LAPTOP), names=sorted(parts | commands | later))
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert {"segmenter", "functions.detect.app", "triggers.bridge.app"} <= parts
    assert ran.returncode == 0, ran.stderr


def test_a_starter_that_is_named_builds() -> None:
    """Whatever else is there: its cluster takes images from it alone."""
    found = image.find_builder({"SLUICE_CLUSTER": sys.executable}, works=lambda _: None)

    assert found == (sys.executable, "image", "build")


def test_a_starter_that_is_not_there_is_an_error() -> None:
    """Not a reason to build elsewhere."""
    with pytest.raises(UnavailableError, match="nowhere/rig is no program"):
        image.find_builder({"SLUICE_CLUSTER": "nowhere/rig"}, works=lambda _: None)


def test_the_first_builder_that_works_builds() -> None:
    """A docker without its daemon is passed over."""
    found = image.find_builder({}, works=lambda name: "Cannot connect" if name == "docker" else None)

    assert found == ("podman", "build")


def test_without_a_builder_it_says_what_to_install_and_what_is_wrong_with_each() -> None:
    """One sentence for somebody with nothing, one for somebody whose daemon sleeps."""
    with pytest.raises(UnavailableError) as caught:
        image.find_builder({}, works=lambda name: f"no {name}")

    assert "install Docker, Podman or Buildah, or name a cluster starter in SLUICE_CLUSTER" in str(caught.value)
    assert "docker: no docker; podman: no podman; buildah: no buildah" in str(caught.value)


def test_a_builder_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of what it says; and a missing one is missing."""
    program(tmp_path / "docker", "echo detail >&2; echo Cannot connect >&2; exit 1")
    program(tmp_path / "buildah", "echo 1.28")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert image.why_not("docker") == "Cannot connect"
    assert image.why_not("buildah") is None
    assert image.why_not("podman") == "not on PATH" or Path("/usr/bin/podman").exists()


@pytest.mark.parametrize(
    ("tag", "both"),
    [
        ("sluice:dev", ("sluice:dev", "sluice-triton:dev")),
        ("sluice", ("sluice:latest", "sluice-triton:latest")),
        (
            "registry.example:5000/team/sluice:1.2",
            ("registry.example:5000/team/sluice:1.2", "registry.example:5000/team/sluice-triton:1.2"),
        ),
        (
            "registry.example:5000/sluice",
            ("registry.example:5000/sluice:latest", "registry.example:5000/sluice-triton:latest"),
        ),
    ],
)
def test_the_second_image_is_named_after_the_first(tag: str, both: tuple[str, str]) -> None:
    """In the same place and version; a registry's port is no version."""
    assert tuple(each.tag for each in image.images(tag, triton="nvidia", revision="r")) == both


@pytest.mark.parametrize("tag", ["", "Sluice:dev", "sluice:", "sluice:a b", "sluice@sha256:00", "sluice/"])
def test_a_name_that_no_registry_takes_is_refused(tag: str) -> None:
    """Before anything is built."""
    with pytest.raises(SettingsError):
        image.images(tag, triton="nvidia", revision="r")


def test_each_image_has_its_file_and_context() -> None:
    """NVIDIA's takes the models alone, that of the wheel our backends as well."""
    ours, nvidia = image.images("sluice:dev", triton="nvidia", revision="abc")
    _, wheel = image.images("sluice:dev", triton="wheel", revision="abc")

    assert (ours.file, ours.context) == ("Containerfile", ".")
    assert (nvidia.file, nvidia.context) == ("infra/triton/Containerfile", "build")
    assert (wheel.file, wheel.context) == ("infra/triton/Containerfile.wheel", ".")
    assert ("REVISION", "abc") in ours.arguments
    assert {each.file for each in (ours, nvidia, wheel)} == set(FILES)


def test_make_image_runs_the_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With its own words and those it does not know; the builder's status is its own."""
    starter = program(tmp_path / "starter", 'echo "$@"; exit 7')
    monkeypatch.setenv("SLUICE_CLUSTER", str(starter))

    status = image.main(["--only", "sluice", "--tag", "a/sluice:1", "--no-cache", "--build-arg", "BASE=b"])

    said = capfd.readouterr().out.splitlines()[-1]
    assert status == 7
    assert said.startswith(f"image build -t a/sluice:1 -f {ROOT / 'Containerfile'} --build-arg VERSION=1")
    assert said.endswith(f"--no-cache --build-arg BASE=b {ROOT}")


def test_what_cannot_be_done_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no stack."""
    monkeypatch.setenv("SLUICE_CLUSTER", "nowhere/rig")

    assert image.main(["--only", "sluice"]) == 1
    assert capsys.readouterr().err == "SLUICE_CLUSTER is unavailable: nowhere/rig is no program\n"


def program(path: Path, script: str) -> Path:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path
