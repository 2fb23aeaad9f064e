"""What the library is told for each scheme: which protocols and formats it may use, and how long it may look."""

from pathlib import Path
from typing import Any, Final

from segmenter.sources.limits import MOST_PIXELS
from sluice.address import SECURED, SourceAddress

PROBE_BYTES: Final = 5_000_000
_MOST_STREAMS: Final = 64
"""The library ends here; what is refused with a reason is far less."""
_LOOK_S: Final = {"rtsp": 4, "rtsps": 4, "rtmp": 3, "rtmps": 3, "http": 8, "https": 8, "file": 30, "v4l2": 4}
"""Of media, until the parameters of all tracks are known: only a track that never comes uses all of it.

HTTP may begin in the middle of a long GOP; RTSP and RTMP say the parameters first."""
_PROTOCOLS: Final = {
    "rtsp": "tcp,udp,rtp",
    "rtsps": "tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,https,tls,tcp,crypto,httpproxy",
    "https": "https,tls,tcp,crypto,httpproxy",
    "file": "file",
    "v4l2": "file",
}
"""A playlist or a redirection leads to these alone: never from a camera into our files, nor out of TLS."""
_FILMS: Final = "mov,mp4,mpegts,flv"
_FORMATS: Final = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "rtmp": "flv,live_flv",
    "rtmps": "flv,live_flv",
    "http": f"{_FILMS},hls,mpjpeg,aac",
    "https": f"{_FILMS},hls,mpjpeg,aac",
    "file": f"{_FILMS},matroska,webm,avi",
    "v4l2": "v4l2",
}
"""No playlist in a file: it could name any other file."""
_SOUNDS: Final = (
    "aac,aac_latm,ac3,eac3,mp2,mp2float,mp3,mp3float,opus,pcm_alaw,pcm_mulaw,pcm_s16be,adpcm_g722,adpcm_g726"
)
_DECODED: Final = ("rtsp", "rtsps", "file")
"""Where H.264 and H.265 are decoded while the library looks. MPEG-TS and FLV say all that is needed, and no limit
reaches a decoder of theirs: options go to tracks that a header names. Elsewhere B-frames come without decoding times,
which are wrong unless a decoder has told how far frames are reordered; of a playlist's tracks nothing else tells."""
_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
"""Debian, Red Hat, Alpine: the library of a wheel knows none of them."""


def options(address: SourceAddress, *, playlist: bool = False) -> dict[str, str]:
    """The library's options for *address*."""
    scheme = address.scheme
    pictures = "mjpeg,h264,hevc" if playlist or scheme in _DECODED else "mjpeg"
    told = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": _FORMATS[scheme],
        "codec_whitelist": f"{_SOUNDS},{pictures}",
        "max_streams": str(_MOST_STREAMS),
        "probesize": str(PROBE_BYTES),
        "analyzeduration": str(_LOOK_S[scheme] * 1_000_000),
        "max_pixels": str(MOST_PIXELS),
        "user_agent": "Sluice",
    }
    if not playlist:
        # It would wait for 20 frames. Of a playlist they are there at once, and without them its first sound has a time
        # that is a frame early.
        told["fpsprobesize"] = "0"
    return told | _of_scheme(address)


def _of_scheme(address: SourceAddress) -> dict[str, str]:
    told: dict[str, Any] = {}
    if address.scheme in ("rtsp", "rtsps"):
        # What is not picture or sound is not even set up. filter_src: of UDP only what the camera itself sends.
        told = {"allowed_media_types": "video+audio", "rtsp_flags": "filter_src", "buffer_size": "1048576"}
    elif address.scheme in ("http", "https"):
        told = {"icy": "0"}
    elif address.scheme in ("rtmp", "rtmps"):
        told = {"rtmp_live": "live"}
    if address.scheme in SECURED:
        checked = address.options.get("tls") != "insecure"
        told |= {"tls_verify": str(int(checked))} | ({"ca_file": _certificates()} if checked else {})
    return told


def _certificates() -> str:
    """The file of the certificates that this machine trusts."""
    import ssl

    named = ssl.get_default_verify_paths().cafile  # where SSL_CERT_FILE says, if it says so
    return next((each for each in (named, *_CERTIFICATES) if each and Path(each).is_file()), _CERTIFICATES[0])
