"""Rules of the camera doctor: a finding becomes a sentence that the operator of a camera can act on. Pure."""

from collections.abc import Iterator

from sluice.contracts.chunk import Advice, AudioHealth, VideoHealth
from sluice.video import Probe

LONG_GOP_S = 4.0
SHORT_GOP_S = 0.5
PASSED = ("h264", "hevc")
"""Video that is copied; all else has to be transcoded."""
BROWSERS_PLAY = ("", "Baseline", "Constrained Baseline", "Main", "High")
"""Profiles of H.264 that every browser decodes."""
G711 = {"pcm_mulaw": "G.711 mu-law", "pcm_alaw": "G.711 A-law"}
HEARD = ("aac", "mp3", "opus")
"""Audio that browsers play in mp4."""
BITS_A_PIXEL = {"h264": 0.30, "hevc": 0.20}
"""More buys no visible detail; a good camera needs a third of it."""
LITTLE_BPS = 500_000
"""Below this nobody cares how it is spent."""
USUAL_FPS = (5, 6, 7.5, 8, 10, 12, 12.5, 15, 20, 24, 25, 30, 48, 50, 60)
NEAR = 0.02


def advise(probe: Probe, video: VideoHealth, audio: AudioHealth | None, audio_dropped: str | None) -> Iterator[Advice]:
    """Everything there is to say, the gravest first."""
    said = [
        *_whole(probe, video),
        *_timing(video),
        *_keyframes(video),
        *_codec(video),
        *_bitrate(video),
        *_audio(audio, audio_dropped),
    ]
    yield from sorted(said, key=lambda each: ("error", "warning", "info").index(each.severity))


def _whole(probe: Probe, video: VideoHealth) -> Iterator[Advice]:
    if probe.truncated:
        text = f"The object ends in the middle of its media; {video.frames} frames are whole. Look for a full disk or "
        yield Advice(code="truncated", severity="error", text=text + "an interrupted upload, and send the chunk again.")
    if probe.video.parameter_sets > 1:
        text = "Resolution or profile changes within the chunk; players stop or show garbage there. Switch off "
        yield Advice(code="resolution-change", severity="warning", text=text + "dynamic or adaptive resolution.")


def _timing(video: VideoHealth) -> Iterator[Advice]:
    if video.gaps:
        text = f"{video.gaps} gap(s) between frames, the longest {video.longest_gap_ms} ms: frames were lost or late. "
        yield Advice(
            code="timestamp-gaps",
            severity="warning",
            text=text + "Use RTSP over TCP, check the network, or lower the bit rate.",
        )
    elif not any(abs(video.fps - usual) <= usual * NEAR for usual in USUAL_FPS):
        text = f"{video.fps:g} frames a second is unusual: the camera's clock is off, or it cannot keep up. "
        yield Advice(code="odd-fps", severity="info", text=text + "Set a fixed rate of 10, 15, 25 or 30.")


def _keyframes(video: VideoHealth) -> Iterator[Advice]:
    wanted = f"Set the keyframe (I-frame) interval to {max(1, round(2 * video.fps))} frames, 2 s."
    seconds = (video.gop_frames or video.frames) / video.fps
    found = f"A keyframe comes every {seconds:.1f} s" if video.gop_frames else f"One keyframe in {seconds:.1f} s"
    if seconds > LONG_GOP_S:
        text = f"{found}; a chunk can begin at a keyframe only, so all that follows waits for it. {wanted}"
        yield Advice(code="long-gop", severity="warning", text=text)
    elif video.gop_frames is None:
        text = f"{found}, so the interval is {seconds:.1f} s or longer. {wanted}"
        yield Advice(code="single-keyframe", severity="info", text=text)
    elif seconds < SHORT_GOP_S and video.codec in PASSED:
        text = f"{found}; keyframes are large, so this costs bit rate and picture quality. {wanted}"
        yield Advice(code="short-gop", severity="warning", text=text)
    if video.open_gop:
        text = "Open GOPs: B-frames before a keyframe need the pictures before it, so a clip that starts there shows "
        text += "damage. Choose closed GOP, or switch B-frames off."
        yield Advice(code="open-gop", severity="warning", text=text)
    elif video.b_frames:
        text = "B-frames delay the picture by one frame or more, and WebRTC viewers cannot show them. Switch them off "
        yield Advice(code="b-frames", severity="info", text=text + "(profile Baseline does) if delay matters.")


def _codec(video: VideoHealth) -> Iterator[Advice]:
    if video.codec == "hevc":
        text = "H.265: Safari plays it, other browsers only with the right hardware. Choose H.264 if anyone watches in "
        yield Advice(code="h265-playback", severity="info", text=text + "a browser; detection works with both.")
    elif video.codec not in PASSED:
        yield transcoded(video.codec)
    elif video.profile not in BROWSERS_PLAY:
        text = f"H.264 profile {video.profile}: browsers do not play it. Choose Baseline, Main or High, 8 bit 4:2:0."
        yield Advice(code="profile", severity="warning", text=text)


def transcoded(codec: str) -> Advice:
    """What to say of a camera whose pictures cannot be copied."""
    text = f"{codec} cannot be passed through and has to be encoded again, at the cost of a processor core "
    return Advice(code="transcoded", severity="warning", text=text + "and some quality. Choose H.264.")


def _bitrate(video: VideoHealth) -> Iterator[Advice]:
    most = BITS_A_PIXEL.get(video.codec, 1.0) * video.width * video.height * video.fps
    if video.bitrate_bps > max(most, LITTLE_BPS):
        text = (
            f"{video.bitrate_bps / 1e6:.1f} Mbit/s is much for {video.width}x{video.height} at {video.fps:g} frames a "
        )
        text += f"second; {max(most / 3, LITTLE_BPS) / 1e6:.1f} Mbit/s shows the same, and storage lasts longer."
        yield Advice(code="high-bitrate", severity="warning", text=text)


def _audio(audio: AudioHealth | None, dropped: str | None) -> Iterator[Advice]:
    if audio is None and dropped is None:
        text = "No audio. Nothing is wrong if the camera has no microphone; else switch audio on, with AAC."
        yield Advice(code="no-audio", severity="info", text=text)
    elif audio is None or audio.codec not in HEARD:
        codec = audio.codec if audio else dropped or ""
        text = f"The audio is {G711.get(codec, codec)}, which browsers cannot play"
        text += "; it is left out. " if audio is None else ". "
        yield Advice(code="audio-codec", severity="warning", text=text + "Choose AAC in the camera.")
