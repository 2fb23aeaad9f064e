"""What detect can be told from outside; what a camera says of itself comes first."""

from dataclasses import dataclass

from sluice.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """Of the function, so of all cameras."""

    fps: float = setting("SLUICE_DETECT_FPS", "frames a second that are looked at, where a camera says nothing", 5.0)
    late_s: float = setting(
        "SLUICE_DETECT_LATE_S",
        "seconds that a chunk may wait before fewer of its frames are looked at; 0: all, always",
        10.0,
    )
    # Four frames of 512 x 288: the first are looked at while the next are decoded, and a batch stays in the caches.
    # A GPU is filled all the same, as Triton takes what waits together.
    batch_bytes: int = setting("SLUICE_DETECT_BATCH_BYTES", "largest batch of frames, in bytes", 2 << 20)
    threads: int = setting("SLUICE_DETECT_THREADS", "threads that decode one chunk", 1)
