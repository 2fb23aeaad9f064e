"""The wheel's Triton as an image has it: what it loads, where it looks, and nothing that tells others about it."""

from pathlib import Path

import pytest

from sluice.local.tools import ROOT
from sluice.local.triton import TritonPorts, triton_program
from sluice.local.triton_backends import keep_what_runs, lay_out_backends

QUIET = "ORT_DISABLE_TELEMETRY"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What pip makes of the wheel, as far as it matters."""
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    for file in (
        server / "bin" / "tritonserver",
        server / "backends" / "python" / "libtriton_python.so",
        server / "backends" / "python" / "triton_python_backend_utils.py",
        server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub",
        server / "python_backend_stubs" / "3.13" / "triton_python_backend_stub",
        packages / "nvidia_pytriton.libs" / "libpython3-419a3a08.13.so.1.0",
        packages / "nvidia_pytriton.libs" / "libtritonserver-717102f0.so",
        packages / "numpy" / "core" / "tests" / "test_numpy.py",
        packages / "numpy" / "core" / "multiarray.py",
        tmp_path / "venv" / "bin" / "python3",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(file.relative_to(tmp_path)), "utf-8")
    return tmp_path


def test_both_backends_are_whole(home: Path) -> None:
    """For the Python that runs, to be started by any user, and no link among them."""
    lay_out_backends(home, version="3.11")

    for backend in ("python", "onnxruntime"):
        folder = home / "backends" / backend
        stub = folder / "triton_python_backend_stub"
        assert "/3.11/" in stub.read_text("utf-8")
        assert stub.stat().st_mode & 0o777 == 0o755
        assert not any(file.is_symlink() for file in folder.iterdir())
    ours = ROOT / "infra" / "triton" / "backends" / "onnxruntime" / "model.py"
    assert (home / "backends" / "onnxruntime" / "model.py").read_bytes() == ours.read_bytes()


def test_an_image_keeps_what_runs(home: Path) -> None:
    """The server on PATH, its libraries and packages; not those of other Pythons, nor tests."""
    lay_out_backends(home, version="3.11")

    keep_what_runs(home, version="3.11")

    left = {file.name for file in home.rglob("*") if file.is_file()}
    assert {"tritonserver", "libtritonserver-717102f0.so", "multiarray.py", "libtriton_python.so"} <= left
    assert not {"libpython3-419a3a08.13.so.1.0", "test_numpy.py"} & left
    assert len(list(home.rglob("triton_python_backend_stub"))) == 2
    server = home / "venv" / "bin" / "tritonserver"
    assert server.resolve().stat().st_mode & 0o555 == 0o555


def test_models_are_nobody_elses_business(home: Path) -> None:
    """The wheel of onnxruntime would tell its maker about them, wherever it runs."""
    ports = TritonPorts(http=1, grpc=2, metrics=3)

    program = triton_program(home=home, repository=home / "models", ports=ports, log=home / "log")

    assert program.environment[QUIET] == "1"
    for name in ("Containerfile", "Containerfile.wheel"):
        assert f"{QUIET}=1" in (ROOT / "infra" / "triton" / name).read_text("utf-8")
