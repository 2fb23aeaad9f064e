"""The real servers under the local runtime: MinIO, NATS and Triton, as programs to supervise."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sluice.errors import SettingsError
from sluice.local import tools
from sluice.local.instances import Supervised
from sluice.local.minio import NatsTarget, minio_program
from sluice.local.nats import NatsUser, nats_config, nats_program
from sluice.local.program import Program
from sluice.local.state import State
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, Secrets

REGION: Final = "us-east-1"
BUCKET: Final = "sluice"
TRITON_CHECK_S: Final = 10
TRITON_MISSES: Final = 3
RTMP_PORT: Final = 1935
"""That every encoder proposes."""
_HIDDEN: Final = {"minio", "admin"}
"""Secrets of no part: nothing in a manifest may ask for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What to run, and where it will be; None or an empty address: not here."""

    nats: Program
    minio: Program | None
    triton: Program | None
    addresses: Mapping[str, str]
    """s3, nats, nats-ws, nats-monitor, triton, rtmp; spool is a folder."""
    notices: tuple[str, ...] = ()
    queue: str = field(default="")
    """Folder of announcements that MinIO could not deliver yet."""


def addresses(state: State) -> dict[str, str]:
    """Where the servers are or will be; known before anything is started."""
    return {
        "s3": f"http://127.0.0.1:{state.port('minio')}",
        "nats": f"nats://127.0.0.1:{state.port('nats')}",
        "nats-ws": f"ws://127.0.0.1:{state.port('nats-websocket')}",
        "nats-monitor": f"http://127.0.0.1:{state.port('nats-monitor')}",
        # Where none is, a part that needs it finds nobody and says so; the others do not care.
        "triton": os.environ.get("SLUICE_TRITON_URL") or f"127.0.0.1:{state.port('triton-grpc')}",
        "spool": str(state.folder / "data" / "spool"),
        "rtmp": f"rtmp://127.0.0.1:{state.port('rtmp', wanted=RTMP_PORT)}",
    }


def plan(state: State, secrets: Secrets, *, with_minio: bool = True, with_triton: bool = True) -> Servers:
    """Choose binaries and ports; raises SettingsError with everything that is missing and needed."""
    paths = {"nats-server": tools.find_nats_server()} | ({"minio": tools.find_minio()} if with_minio else {})
    missing = [str(tools.Missing(name=name, remedy=tools.INSTALL)) for name, path in paths.items() if path is None]
    if missing:
        raise SettingsError(tuple(missing))
    nats_port = state.port("nats")
    triton, notices = _triton(state) if with_triton else (None, ())
    queue = state.folder / "data" / "minio-queue"
    config = write_nats_config(state, secrets)
    minio, binary = paths.get("minio"), paths["nats-server"]
    assert binary is not None  # noqa: S101 (else it would be missing, above)
    nats = nats_program(binary=binary, config=config, port=nats_port, log=state.log("nats-server"))
    return Servers(
        nats=replace(nats, name="nats-server"),
        minio=_minio(state, secrets, minio, nats_port) if minio else None,
        triton=triton,
        addresses=addresses(state),
        notices=notices,
        queue=str(queue),
    )


def nats_config_file(state: State) -> Path:
    """What the server reads."""
    return state.folder / "nats.conf"


def write_nats_config(state: State, secrets: Secrets, *, readers: Sequence[NatsUser] = ()) -> Path:
    """Say who NATS lets in: the parts, and *readers*; the file is left alone when it says so already."""
    config = nats_config_file(state)
    text = nats_config(
        port=state.port("nats"),
        websocket_port=state.port("nats-websocket"),
        monitor_port=state.port("nats-monitor"),
        store=state.folder / "data" / "nats",
        users=[*secrets.nats_users(), *readers],
    )
    if config.exists() and config.read_text("utf-8") == text:
        return config
    draft = config.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text, "utf-8")
    return draft.replace(config)


def _minio(state: State, secrets: Secrets, binary: Path, nats_port: int) -> Program:
    user, password = secrets.store_root
    mine = secrets.part("minio")
    targets = [
        NatsTarget(
            id=name,
            address=f"127.0.0.1:{nats_port}",
            subject=f"sluice.intake.{name.lower()}",
            user=mine[NATS_USER],
            password=mine[NATS_PASSWORD],
            queue=name == "SURE",
        )
        for name in ("FAST", "SURE")
    ]
    return minio_program(
        binary=binary,
        data=state.folder / "data" / "minio",
        port=state.port("minio"),
        log=state.log("minio"),
        root_user=user,
        root_password=password,
        region=REGION,
        notify=targets,
        queue_dir=state.folder / "data" / "minio-queue",
    )


def _triton(state: State) -> tuple[Program | None, tuple[str, ...]]:
    """The program, unless one runs elsewhere; and what to do about having none."""
    if os.environ.get("SLUICE_TRITON_URL"):
        return None, ()
    home = tools.find_triton()
    if home is None:
        remedy = f"{tools.INSTALL}, or run one elsewhere and set SLUICE_TRITON_URL=host:port"
        return None, (str(tools.Missing(name="Triton", remedy=remedy)),)
    from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program

    repository = state.folder / "data" / "models"
    absent = assemble(repository, added=state.folder / "models")
    forget_shared_memory(repository)
    ports = TritonPorts(
        http=state.port("triton-http"), grpc=state.port("triton-grpc"), metrics=state.port("triton-metrics")
    )
    program = triton_program(home=home, repository=repository, ports=ports, log=state.log("triton"))
    notice = (f"models without weights, left out: {', '.join(absent)}; {tools.INSTALL}",) if absent else ()
    return program, notice


def values(found: Mapping[str, str], secrets: Secrets, manifests: Sequence[Path]) -> dict[str, Mapping[str, str]]:
    """What ConfigMap `sluice` and the Secrets `sluice-<part>` hold on this machine."""
    held: dict[str, Mapping[str, str]] = {
        f"Secret/sluice-{part}": secrets.part(part) for part in secrets.parts if part not in _HIDDEN
    }
    held["ConfigMap/sluice"] = {
        "SLUICE_S3_URL": found["s3"],
        "SLUICE_S3_REGION": REGION,
        "SLUICE_BUCKET": BUCKET,
        "SLUICE_NATS_URL": found["nats"],
        "SLUICE_TRITON_URL": found["triton"],
        # Volumes are folders here: the spool's, and that of the Triggers, which are read where they are.
        "SLUICE_SPOOL": found["spool"],
        "SLUICE_TRIGGERS": os.pathsep.join(str(folder.absolute()) for folder in manifests),
        "SLUICE_RTMP_PORT": found["rtmp"].rpartition(":")[2],
    }
    return held


async def watch_triton(triton: Supervised, infers: Callable[[], bool]) -> None:
    """Restart it when inferences fail: its health routes say 200 for ever after a model's process died."""
    misses = 0
    while True:
        await asyncio.sleep(TRITON_CHECK_S)
        await triton.is_ready.wait()
        misses = 0 if await asyncio.to_thread(infers) else misses + 1
        if misses >= TRITON_MISSES:
            triton.restart(f"{misses} inferences failed")
            misses = 0
