"""Triton without NVIDIA's image: the server of the nvidia-pytriton wheel and our backends, in an environment apart."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import UnavailableError
from sluice.local.install_packages import make_environment, staged
from sluice.local.tools import ROOT, find_triton, triton_home
from sluice.local.triton import container_command
from sluice.local.triton_backends import bring_model, lay_out_backends

PYTHONS = ((3, 11), (3, 12))
"""The wheel's stubs go from 3.8 to 3.13; its numpy < 2 ends at 3.12, and onnxruntime's release begins at 3.11."""
_PROBE = """
import importlib.util, json, os, sys, sysconfig
found = [os.path.join(d, sysconfig.get_config_var("INSTSONAME") or "")
         for d in (sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")) if d]
shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
usable = shared and importlib.util.find_spec("ensurepip")  # Debian keeps ensurepip in a package of its own
print(json.dumps([list(sys.version_info[:2]), next((f for f in found if usable and os.path.isfile(f)), None)]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python that Triton's python backend can load."""

    program: str
    version: str
    library: Path


def install_triton(say: Callable[[str], None]) -> str:
    """Make its environment if it is not there, and bring our backend up to date."""
    home = find_triton()
    if home is None and (url := os.environ.get("SLUICE_TRITON_URL")):
        return f"not installed, SLUICE_TRITON_URL names one at {url}"
    if home is None:
        interpreter = find_interpreter()
        say(f"making its environment with Python {interpreter.version}")
        with staged(triton_home()) as stage:
            make_environment(
                "triton",
                python=interpreter.program,
                folder=stage / "venv",
                requirements=ROOT / "requirements-triton.txt",
            )
            lay_out_backends(stage, version=interpreter.version)
            (stage / "lib").mkdir()
            (stage / "lib" / interpreter.library.name).symlink_to(interpreter.library)
        home = triton_home()
    bring_model(home / "backends" / "onnxruntime")
    return str(home)


def find_interpreter() -> Interpreter:
    """This Python if it fits, else one on PATH; raises UnavailableError when there is none."""
    if sys.platform != "linux":
        raise UnavailableError("triton", f"its wheel is for Linux, this is {sys.platform}")
    named = [shutil.which(f"python{major}.{minor}") for major, minor in PYTHONS]
    seen: list[str] = []
    for program in (sys.executable, *filter(None, named)):
        version, library = _probe(program)
        if version in PYTHONS and library is not None:
            return Interpreter(program=program, version=".".join(map(str, version)), library=library)
        seen.append(
            f"{program} is {'.'.join(map(str, version))}"
            + ("" if library else " without a shared libpython or the venv module")
        )
    raise UnavailableError("triton", f"needs Python 3.11 or 3.12 with a shared libpython; {'; '.join(seen)}")


def _probe(program: str) -> tuple[tuple[int, ...], Path | None]:
    try:
        shown = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,), None
    version, library = json.loads(shown)
    return tuple(version), Path(library) if library else None


def remedy() -> str:
    """What to do without it."""
    return (
        "everything but detection works without it; install Python 3.11 or 3.12 with a shared library "
        f"(Debian: apt install python3.11 python3.11-venv), or run\n  {container_command()}\n"
        "and set SLUICE_TRITON_URL=127.0.0.1:8001"
    )
