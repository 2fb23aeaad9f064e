"""Cameras of every protocol that is pulled, each a looped clip whose packets are known."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from segmenter.pattern import pattern_clip
from tests.payloads import Payloads, payloads_of
from tests.services.ffmpeg import hls, served
from tests.services.looped import make_clip
from tests.services.rtsp import PASSWORD, USER, RtspServer, looped
from tests.services.rtsp_udp import rtsp_over_udp
from tests.services.tls import Certificate, make_certificate, tls_before

FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
JPEGS = 300
PARTS = "multipart/x-mixed-replace; boundary=ffmpeg"
USERINFO = f"{USER}:{quote(PASSWORD, safe='')}@"


@dataclass(frozen=True)
class Clips:
    """The same packets in two containers, and what else cameras send."""

    folder: Path

    @cached_property
    def ts(self) -> Path:
        """H.264 and AAC, a keyframe a second."""
        return make_clip(self.folder / "clip.ts", gop=25)

    @cached_property
    def mp4(self) -> Path:
        """The same: SDP has a place for what decoders must know of AAC, and mp4 has it."""
        path = self.folder / "clip.mp4"
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(self.ts), "-c", "copy", str(path)], check=True, timeout=60)
        return path

    @cached_property
    def h265(self) -> Path:
        """The test pattern, 8 s."""
        path = self.folder / "h265.mp4"
        path.write_bytes(pattern_clip(size=(320, 180), gop=25, bf=0, seconds=8, codec="h265"))
        return path

    @cached_property
    def jpegs(self) -> Path:
        """JPEGS frames of the test pattern."""
        path = self.folder / "jpegs.mkv"
        path.write_bytes(pattern_clip(size=(320, 180), fps=10, seconds=JPEGS / 10, codec="mjpeg", container="matroska"))
        return path

    def payloads(self, clip: Path) -> Payloads:
        """What its packets carry."""
        return payloads_of(clip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The URL of each camera."""

    urls: dict[str, str]
    certificate: Certificate


@contextlib.contextmanager
def pulled_peers(clips: Clips, rtsp_program: Path, folder: Path) -> Iterator[Peers]:
    """All of them, until the end of the block."""
    certificate = make_certificate(folder)
    streams = {
        "h264": looped(clips.mp4),
        "h265": looped(clips.h265),
        "alaw": looped(clips.mp4, "-c:v copy -c:a pcm_alaw -ar 8000 -ac 1"),
    }
    open_server = RtspServer(rtsp_program, folder / "open", streams)
    locked = RtspServer(rtsp_program, folder / "locked", {"h264": looped(clips.mp4)}, password=True)
    with contextlib.ExitStack() as stack:
        for server in (open_server, locked):
            server.start()
            stack.callback(server.stop)
        secure_rtsp = stack.enter_context(tls_before(open_server.ports.rtsp, certificate))
        secure_rtmp = stack.enter_context(tls_before(open_server.ports.rtmp, certificate))
        urls = {
            "rtsp-tcp": open_server.rtsp("h264"),
            "rtsp-udp": stack.enter_context(rtsp_over_udp(clips.mp4, folder=folder)),
            "rtsp-password": locked.rtsp("h264", userinfo=USERINFO),
            "rtsp-h265": open_server.rtsp("h265"),
            "rtsp-alaw": open_server.rtsp("alaw"),
            "rtsps": f"rtsps://127.0.0.1:{secure_rtsp}/h264",
            "rtmp": open_server.rtmp("h264"),
            "rtmps": f"rtmps://127.0.0.1:{secure_rtmp}/h264?tls=insecure",
            "http-ts": stack.enter_context(served(clips.ts, "mpegts", folder=folder)),
            "http-fmp4": stack.enter_context(
                served(clips.mp4, "mp4", *FRAGMENTS, folder=folder, content_type="video/mp4")
            ),
            "http-hls": stack.enter_context(hls(clips.ts, folder=folder)),
            "http-mjpeg": stack.enter_context(served(clips.jpegs, "mpjpeg", folder=folder, content_type=PARTS)),
            "file": f"file://{quote(str(clips.mp4))}?loop=1",
        }
        yield Peers(urls=urls, certificate=certificate)
