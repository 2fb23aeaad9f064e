"""The backends of the wheel's Triton, as the local runtime and the image of it lay them out; needs no package."""

import shutil
import sys
from pathlib import Path

from sluice.local.tools import ROOT


def lay_out_backends(home: Path, *, version: str) -> None:
    """Copy what the wheel has into the layout Triton reads; symbolic links are refused there."""
    server = home / "venv" / "lib" / f"python{version}" / "site-packages" / "pytriton" / "tritonserver"
    for backend in ("python", "onnxruntime"):
        folder = home / "backends" / backend
        folder.mkdir(parents=True)
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            shutil.copyfile(server / "backends" / "python" / name, folder / name)
        stub = folder / "triton_python_backend_stub"
        shutil.copyfile(server / "python_backend_stubs" / version / stub.name, stub)
        stub.chmod(0o755)  # without the run bit the server makes it 0100, and it fails for any other user
    bring_model(home / "backends" / "onnxruntime")


def bring_model(folder: Path) -> None:
    """The backend that the wheel lacks."""
    shutil.copyfile(ROOT / "infra" / "triton" / "backends" / "onnxruntime" / "model.py", folder / "model.py")


def keep_what_runs(home: Path, *, version: str) -> None:
    """Put the server on the environment's PATH, and remove what it never loads; for an image, so for good."""
    packages = home / "venv" / "lib" / f"python{version}" / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    (home / "venv" / "bin" / "tritonserver").symlink_to(server / "bin" / "tritonserver")
    (server / "bin" / "tritonserver").chmod(0o755)
    # Both backends have their copies, one for this Python.
    shutil.rmtree(server / "python_backend_stubs")
    shutil.rmtree(server / "backends")
    # The library of another Python (32 MB), for one of those stubs.
    for library in (packages / "nvidia_pytriton.libs").glob("libpython3*"):
        library.unlink()
    for tests in [*packages.glob("numpy/**/tests")]:
        shutil.rmtree(tests)


if __name__ == "__main__":
    place, running = Path(sys.argv[1]), f"{sys.version_info.major}.{sys.version_info.minor}"
    lay_out_backends(place, version=running)
    keep_what_runs(place, version=running)
