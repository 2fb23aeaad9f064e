"""The camera doctor: what a chunk's packets say of the camera that sent them, and what its operator can do. Pure."""

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from sluice.advice import advise
from sluice.contracts.chunk import Advice, AudioHealth, VideoHealth
from sluice.video import AudioTrack, PacketFacts, Probe, VideoTrack

LATE = 1.5
"""A frame that comes later than so many frame durations after the one before leaves a gap."""


def examine(
    probe: Probe, *, audio_dropped: str | None = None
) -> tuple[VideoHealth, AudioHealth | None, tuple[Advice, ...]]:
    """The health of video and audio, and advice; *audio_dropped* is a codec that the segmenter could not copy."""
    video, audio = _video(probe.video), probe.audio
    heard = None if audio is None else _audio(audio)
    return video, heard, tuple(advise(probe, video, heard, audio_dropped))


def _video(track: VideoTrack) -> VideoHealth:
    packets = track.packets
    shown = sorted(each.pts for each in packets)
    steps = [later - earlier for earlier, later in pairwise(shown)]
    frame = median(steps) if steps else packets[0].duration or 1
    late = [step for step in steps if step > LATE * frame]
    duration_s = float((shown[-1] + max(frame, 1) - shown[0]) * track.time_base)
    keyframes = [number for number, each in enumerate(packets) if each.keyframe]
    return VideoHealth(
        codec=track.codec,
        profile=track.profile,
        width=track.width,
        height=track.height,
        fps=round(len(packets) / duration_s, 3),
        frames=len(packets),
        keyframes=len(keyframes),
        gop_frames=max((b - a for a, b in pairwise(keyframes)), default=None),
        b_frames=any(later.pts < earlier.pts for earlier, later in pairwise(packets)),
        open_gop=any(_leading(packets)),
        bitrate_bps=round(sum(each.size_bytes for each in packets) * 8 / duration_s),
        gaps=len(late),
        longest_gap_ms=round(float(max(late, default=0) * track.time_base) * 1000),
    )


def _audio(track: AudioTrack) -> AudioHealth:
    return AudioHealth(codec=track.codec, sample_rate_hz=track.sample_rate_hz, channels=track.channels)


def _leading(packets: tuple[PacketFacts, ...]) -> Iterator[bool]:
    """For each packet whether it is shown before the keyframe that it follows: it may need the GOP before."""
    keyframe_pts = packets[0].pts
    for each in packets:
        keyframe_pts = each.pts if each.keyframe else keyframe_pts
        yield each.pts < keyframe_pts
