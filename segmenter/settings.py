"""What the segmenter can be told from outside."""

from dataclasses import dataclass

from sluice.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterSettings:
    """Of the process, so of all its cameras."""

    port: int = setting("PORT", "port to listen on; Knative and the local runtime set it", 8080)
    host: str = setting("SLUICE_HOST", "address to listen on; the local runtime sets 127.0.0.1", "0.0.0.0")  # noqa: S104 (a container listens on all its addresses)
    rtmp_port: int = setting("SLUICE_RTMP_PORT", "port for cameras that push RTMP; 0 for none", 1935)
    spool: str = setting("SLUICE_SPOOL", "folder for chunks on their way to the store", "/var/lib/sluice/spool")
    spool_max_bytes: int = setting("SLUICE_SPOOL_MAX_BYTES", "most that one camera may spool, in bytes", 256 << 20)
    spool_max_age_s: float = setting("SLUICE_SPOOL_MAX_AGE_S", "oldest chunk that is kept, in seconds", 86_400.0)
    silent_s: float = setting("SLUICE_SILENT_S", "seconds without a packet after which a camera is dead", 10.0)
    cameras_a_worker: int = setting("SLUICE_CAMERAS_A_WORKER", "cameras in one worker process, at most", 16)
    refresh_s: float = setting("SLUICE_CAMERAS_REFRESH_S", "seconds between two listings of cameras/", 60.0)
    watch_s: float = setting(
        "SLUICE_WATCH_S", "seconds between two looks whether another segmenter records the same camera", 30.0
    )
    takeover_s: float = setting(
        "SLUICE_TAKEOVER_S", "seconds without a chunk after which a camera is taken over from another segmenter", 90.0
    )
    drain_s: float = setting("SLUICE_DRAIN_S", "seconds for the open chunks to reach the store at the end", 7.0)
