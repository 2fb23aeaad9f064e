"""The manifests are followed while we run: what is not whole is reported, and the last good ones stay."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sluice.errors import UnavailableError
from sluice.local.cancellation import heed_cancellation
from sluice.local.manifests.reader import ManifestError, read

if TYPE_CHECKING:
    from sluice.local.runtime import Runtime

WATCH_S: Final = 0.5


async def follow(runtime: "Runtime") -> None:
    """Look twice a second, for ever; what could not be done (NATS away, a port taken) is tried again."""
    folders = runtime.options.manifests
    seen, unfinished = fingerprint(folders), False
    while True:
        heed_cancellation()
        await asyncio.sleep(WATCH_S)
        now = await asyncio.to_thread(fingerprint, folders)
        if now == seen and not unfinished:
            continue
        seen, unfinished, problems = now, False, tuple[str, ...]()
        try:
            wanted = await asyncio.to_thread(read, folders, runtime.values)
            await runtime.apply(wanted)
        except ManifestError as error:
            problems = tuple(map(str, error.problems))
        except (UnavailableError, OSError) as error:
            problems, unfinished = (str(error),), True
        if problems != runtime.problems:
            print("\n".join(problems) or "the manifests are obeyed again", flush=True)
        runtime.problems = problems


def fingerprint(folders: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Changes whenever a manifest comes, goes or is written."""
    found: list[tuple[str, int, int]] = []
    for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return found
