"""`sluice play`: links to a camera's live video, good for a day, and the page that plays it."""

import argparse
import webbrowser
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sluice.errors import ObjectNotFoundError, SluiceError
from sluice.settings import load, setting

LIFETIME: Final = timedelta(days=1)
EXAMPLES: Final = """\
examples:
  sluice play gate
  sluice play gate --open
  ffplay "$(sluice play gate --hls)"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddress:
    """Where the commands find the gateway of a cluster; the local runtime knows its own."""

    url: str = setting("SLUICE_GATEWAY_URL", "the gateway, for the command line, as http(s)://host:port", "")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "play",
        help="links to a camera's live video, for a browser and for players",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="CAMERA")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--open", action="store_true", help="open the page in the browser, too")
    how.add_argument("--hls", action="store_true", help="print the playlist's link alone, for a player")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make a token for this camera alone, and print where it leads."""
    from sluice import cameras
    from sluice.local.administrator import administrator

    gateway = gateway_url(options.state)
    with administrator(options.state) as admin:
        try:
            cameras.load(admin.store, options.name)
        except ObjectNotFoundError as error:
            raise SluiceError(f"no camera {options.name!r}: sluice camera list") from error
        found = links(admin.store, gateway, options.name)
    if options.hls:
        print(found["hls"])
        return 0
    print(f"watch  {found['watch']}")
    print(f"hls    {found['hls']}")
    print(f"       good for {LIFETIME.days * 24} hours, for whoever has the link: sluice token list")
    if options.open and not webbrowser.open(found["watch"]):
        raise SluiceError("no browser could be opened here: open the first link yourself")
    return 0


def links(store: Any, gateway: str, camera: str) -> dict[str, str]:
    """The page and the playlist of a camera, with a token of their own."""
    from sluice import tokens

    note = f"sluice play {camera}"
    tokens.forget_expired(store, note=note)
    secret, _ = tokens.create(store, cameras=[camera], lifetime=LIFETIME, note=note)
    base = f"{gateway}/t/{secret}"
    return {"watch": f"{base}/watch/{camera}", "hls": f"{base}/hls/{camera}/index.m3u8"}


def gateway_url(state: Path) -> str:
    """Where the gateway is: the local runtime's, else the one that the environment names."""
    from sluice.local.state import read_runtime

    runtime = read_runtime(state)
    if runtime is None:
        url = load(GatewayAddress).url.rstrip("/")
        where = f"no runtime runs in {state} (sluice up), and SLUICE_GATEWAY_URL names none"
    else:
        url = runtime["endpoints"].get("services", {}).get("gateway", "")
        where = f"the runtime in {state} has none among its manifests"
    if not url:
        raise SluiceError(f"no gateway: {where}")
    return url
