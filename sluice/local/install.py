"""`python -m sluice.local.install`: finds, fetches or builds what the local runtime needs; idempotent."""

import argparse
import contextlib
import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sluice.errors import UnavailableError
from sluice.local import install_triton
from sluice.local.install_data import MIRROR, install_data
from sluice.local.install_page import install_page
from sluice.local.install_progress import Progress
from sluice.local.install_servers import install_minio, install_nats
from sluice.local.tools import MINIO_VERSION, Missing, tools_home

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing to install; *install* returns where it is, or raises UnavailableError."""

    name: str
    install: Callable[[Say], str]
    remedy: Callable[[], str]
    required: bool = False


TOOLS = (
    Tool(
        name="minio",
        install=install_minio,
        remedy=lambda: f"put minio {MINIO_VERSION}, or any later release, on PATH",
        required=True,
    ),
    Tool(
        name="nats-server",
        install=install_nats,
        remedy=lambda: "put nats-server 2.12 or later on PATH (https://github.com/nats-io/nats-server/releases)",
        required=True,
    ),
    Tool(name="triton", install=install_triton.install_triton, remedy=install_triton.remedy),
    Tool(name="page", install=install_page, remedy=lambda: "install Node.js 20 or later with npm, and run make page"),
    Tool(name="data", install=install_data, remedy=lambda: f"put the files into a folder and name it in {MIRROR}"),
)


def install(tools: Sequence[Tool] = TOOLS, *, progress: Progress) -> tuple[Missing, ...]:
    """Install *tools* side by side; returns those that cannot be had. A failure of one does not stop the others."""

    def one(tool: Tool) -> Missing | None:
        begun = time.monotonic()
        progress.begin(tool.name)
        try:
            place = tool.install(lambda text: progress.say(tool.name, text))
        except (UnavailableError, OSError) as error:
            missing = Missing(name=tool.name, remedy=tool.remedy())
            reason = error.reason if isinstance(error, UnavailableError) else str(error)
            progress.end(tool.name, f"{reason}\n{missing}")
            return missing
        progress.end(tool.name, f"{place} ({time.monotonic() - begun:.1f} s)")
        return None

    with ThreadPoolExecutor(max_workers=len(tools)) as pool:
        return tuple(missing for missing in pool.map(one, tools) if missing is not None)


@contextlib.contextmanager
def only_one(folder: Path, say: Say) -> Iterator[None]:
    """Hold the lock of *folder*: a second installation waits for the first, and then finds everything there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another installation is running, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None, *, tools: Mapping[str, Tool] | None = None) -> int:
    """Install all tools, or some; 1 when a required one cannot be had."""
    known = {tool.name: tool for tool in TOOLS} if tools is None else tools
    parser = argparse.ArgumentParser(prog="python -m sluice.local.install", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(known), metavar="NAME", help=", ".join(known))
    chosen = parser.parse_args(arguments).only
    begun = time.monotonic()
    with Progress(sys.stdout) as progress, only_one(tools_home(), lambda text: progress.say("tools", text)):
        missing = install([tool for tool in known.values() if not chosen or tool.name in chosen], progress=progress)
    print(f"tools: {tools_home()}, {time.monotonic() - begun:.1f} s in all")
    return 1 if any(known[each.name].required for each in missing) else 0


if __name__ == "__main__":
    sys.exit(main())
