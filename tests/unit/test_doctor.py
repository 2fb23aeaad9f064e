"""The camera doctor's findings and advice, from packets made by hand."""

from fractions import Fraction
from typing import Any

import pytest

from sluice.examination import examine
from sluice.video import AudioTrack, PacketFacts, Probe, VideoTrack

AAC = AudioTrack(codec="aac", sample_rate_hz=48_000, channels=1)


def packets(
    *, count: int = 75, gop: int = 50, fps: float = 25, size_bytes: int = 5000, first: int = 0
) -> tuple[PacketFacts, ...]:
    """Frames of a camera without B-frames, in ticks of a millisecond."""
    every = 1000 / fps
    return tuple(
        PacketFacts(
            pts=first + round(n * every),
            dts=first + round(n * every),
            duration=round(every),
            size_bytes=size_bytes,
            keyframe=n % gop == 0,
        )
        for n in range(count)
    )


def reordered(times: list[int], keyframes: set[int]) -> tuple[PacketFacts, ...]:
    """Frames in decoding order, shown at these multiples of 40 ms."""
    return tuple(
        PacketFacts(pts=at * 40, dts=(n - 2) * 40, duration=40, size_bytes=5000, keyframe=at in keyframes)
        for n, at in enumerate(times)
    )


def a_probe(
    taken: tuple[PacketFacts, ...] | None = None,
    *,
    audio: AudioTrack | None = AAC,
    truncated: bool = False,
    **changes: Any,
) -> Probe:
    """A good camera, but for the changes."""
    track = {"codec": "h264", "profile": "Main", "width": 1280, "height": 720, "parameter_sets": 1, **changes}
    video = VideoTrack(time_base=Fraction(1, 1000), packets=taken or packets(), **track)
    return Probe(video=video, audio=audio, truncated=truncated)


def codes(probe: Probe, *, audio_dropped: str | None = None) -> list[str]:
    return [advice.code for advice in examine(probe, audio_dropped=audio_dropped)[2]]


def test_a_good_camera_gets_no_advice() -> None:
    """Advice is for what can be better."""
    video, audio, advice = examine(a_probe())

    assert advice == ()
    assert (video.fps, video.frames, video.keyframes, video.gop_frames) == (25.0, 75, 2, 50)
    assert (video.bitrate_bps, video.gaps, video.longest_gap_ms) == (1_000_000, 0, 0)
    assert not video.b_frames
    assert not video.open_gop
    assert audio is not None
    assert (audio.codec, audio.sample_rate_hz, audio.channels) == ("aac", 48_000, 1)


@pytest.mark.parametrize(
    ("probe", "code"),
    [
        pytest.param(a_probe(packets(count=250, gop=125)), "long-gop", id="keyframe-every-5-s"),
        pytest.param(a_probe(packets(count=150, gop=999)), "long-gop", id="one-keyframe-in-6-s"),
        pytest.param(a_probe(packets(gop=999)), "single-keyframe", id="one-keyframe-in-3-s"),
        pytest.param(a_probe(packets(gop=5)), "short-gop", id="keyframe-every-0.2-s"),
        pytest.param(a_probe(packets(gop=1)), "short-gop", id="only-keyframes"),
        pytest.param(a_probe(packets(size_bytes=60_000)), "high-bitrate", id="12-mbit"),
        pytest.param(a_probe(packets(fps=17)), "odd-fps", id="17-fps"),
        pytest.param(a_probe(packets(fps=2, count=9, gop=5)), "odd-fps", id="2-fps"),
        pytest.param(a_probe(packets() + packets(first=3500)), "timestamp-gaps", id="half-a-second-lost"),
        pytest.param(a_probe(codec="hevc"), "h265-playback", id="h265"),
        pytest.param(a_probe(codec="mpeg4"), "transcoded", id="mpeg4"),
        pytest.param(a_probe(profile="High 4:2:2"), "profile", id="high-4:2:2"),
        pytest.param(a_probe(parameter_sets=2), "resolution-change", id="two-parameter-sets"),
        pytest.param(a_probe(truncated=True), "truncated", id="truncated"),
        pytest.param(a_probe(audio=None), "no-audio", id="no-audio"),
        pytest.param(
            a_probe(audio=AudioTrack(codec="pcm_alaw", sample_rate_hz=8000, channels=1)), "audio-codec", id="g711"
        ),
    ],
)
def test_each_finding_has_its_advice_and_no_other(probe: Probe, code: str) -> None:
    """One finding, one sentence; the code is stable, as programs read it."""
    assert codes(probe) == [code]


@pytest.mark.parametrize("fps", [5, 10, 12.5, 14.985, 15, 20, 23.976, 25, 29.97, 30, 60])
def test_usual_frame_rates_are_no_finding(fps: float) -> None:
    """NTSC's fractions are as usual as the round numbers."""
    assert codes(a_probe(packets(fps=fps, count=round(fps * 4), gop=round(fps * 2)))) == []


def test_b_frames_are_named_with_their_cost() -> None:
    """Shown in another order than decoded."""
    probe = a_probe(reordered([0, 3, 1, 2, 6, 4, 5, 7, *range(8, 40)], {0, 20}))

    video, _, advice = examine(probe)

    assert (video.b_frames, video.open_gop) == (True, False)
    assert [each.code for each in advice] == ["b-frames"]


def test_frames_shown_before_the_keyframe_they_follow_make_an_open_gop() -> None:
    """They may need the GOP before, which a clip that starts at the keyframe has not."""
    probe = a_probe(reordered([*range(18), 20, 18, 19, *range(21, 40)], {0, 20}))

    video, _, advice = examine(probe)

    assert video.open_gop
    assert [each.code for each in advice] == ["open-gop"]


def test_sound_that_the_segmenter_left_out_is_named() -> None:
    """The chunk has no trace of it; its metadata has."""
    _, audio, advice = examine(a_probe(audio=None), audio_dropped="pcm_mulaw")

    assert audio is None
    assert [each.code for each in advice] == ["audio-codec"]
    assert "G.711 mu-law" in advice[0].text
    assert "left out" in advice[0].text


def test_lost_frames_are_counted_and_measured() -> None:
    """The gap is what lies between two frames that should follow each other."""
    video, _, _ = examine(a_probe(packets() + packets(first=3500)))

    assert (video.gaps, video.longest_gap_ms) == (1, 540)


def test_jitter_of_live_timestamps_is_no_gap() -> None:
    """A camera's clock is not an encoder's."""
    jittery = tuple(
        PacketFacts(pts=n * 40 + n % 3 * 6, dts=n * 40, duration=40, size_bytes=5000, keyframe=n % 50 == 0)
        for n in range(75)
    )

    assert codes(a_probe(jittery)) == []


def test_a_chunk_of_one_frame_is_examined() -> None:
    """A still camera is odd, not an error."""
    video, _, _ = examine(a_probe(packets(count=1)))

    assert (video.frames, video.gop_frames, video.fps) == (1, None, 25.0)


def test_a_small_picture_may_cost_a_little() -> None:
    """Nobody saves 300 kbit/s by reading advice."""
    assert codes(a_probe(packets(size_bytes=1500), width=176, height=144)) == []


def test_the_gravest_comes_first() -> None:
    """An operator reads the top of a list."""
    probe = a_probe(packets(gop=999, size_bytes=60_000), audio=None, truncated=True)

    found = codes(probe)

    assert found == ["truncated", "high-bitrate", "single-keyframe", "no-audio"]


def test_advice_is_a_sentence_with_numbers_to_act_on() -> None:
    """What was found, why it matters, what to change."""
    (advice,) = examine(a_probe(packets(count=250, gop=125)))[2]

    assert advice.text == (
        "A keyframe comes every 5.0 s; a chunk can begin at a keyframe only, so all that follows waits for it. "
        "Set the keyframe (I-frame) interval to 50 frames, 2 s."
    )
