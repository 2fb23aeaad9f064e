"""`sluice doctor`: what a camera sends, and what could be better about it."""

import argparse
import subprocess
import sys
from typing import Any, Final

EXAMPLES: Final = """\
examples:
  sluice doctor rtsp://viewer:secret@10.0.0.7/live
  sluice doctor 'https://10.0.0.7/live.m3u8?tls=insecure' --json
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "doctor",
        help="open a camera's URL, and say what it sends and what could be better",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="rtsp, rtmp or http, with s for TLS; file, v4l2, test, udp, rtp")
    parser.add_argument("--seconds", type=float, metavar="N", help="longest to look (default 35)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """The segmenter's own code looks, in a process of its own: what a camera sends may crash a codec."""
    command = [sys.executable, "-m", "segmenter.doctor", options.url]
    command += ["--seconds", str(options.seconds)] if options.seconds else []
    command += ["--json"] if options.json else []
    status = subprocess.run(command, check=False).returncode
    if status < 0:
        print(f"the library crashed on what the camera sends (signal {-status})", file=sys.stderr)
        return 1
    return status
