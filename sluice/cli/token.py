"""`sluice token`: who may look at cameras through the gateway, and change them."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.cli.times import days
from sluice.tokens import ROLES, VIEWER

if TYPE_CHECKING:
    from sluice.local.administrator import Administrator
    from sluice.tokens import Token

EXAMPLES: Final = """\
examples:
  sluice token create --camera gate --camera yard --days 30 --note 'wall display'
  sluice token create --role admin --note portal
  sluice token list
  sluice token revoke 3f2a9c1e77b0
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "token",
        help="let somebody look at cameras, or change them, through the gateway",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    new = _verb(verbs, "create", "make a token, and show it this once")
    new.add_argument("--camera", action="append", default=[], metavar="C", help="only of this camera; again for more")
    new.add_argument("--role", choices=ROLES, default=VIEWER, help="a viewer reads, an admin also writes")
    new.add_argument("--days", type=days, metavar="N", help="let it in for so long (default: until it is revoked)")
    new.add_argument("--note", default="", metavar="T", help="what it is for")
    shown = _verb(verbs, "list", "id, role, cameras, end and note of each")
    shown.add_argument("--json", action="store_true", help="for programs")
    gone = _verb(verbs, "revoke", "let it in no more, within 5 s")
    gone.add_argument("id", metavar="ID", help="as listed, or its beginning")


def _verb(verbs: Any, name: str, about: str) -> Any:
    verb = verbs.add_parser(name, help=about)
    verb.add_argument("--state", type=Path, default=argparse.SUPPRESS, help="state folder (default .sluice)")
    verb.set_defaults(run=run, verb=name)
    return verb


def run(options: argparse.Namespace) -> int:
    """Connect as the administrator and do it."""
    from sluice.local.administrator import administrator

    with administrator(options.state) as admin:
        {"create": _create, "list": _list, "revoke": _revoke}[options.verb](options, admin)
    return 0


def _create(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice import tokens

    cameras = options.camera or None
    secret, token = tokens.create(
        admin.store, role=options.role, cameras=cameras, lifetime=options.days, note=options.note
    )
    print(f"created {token.id}: {_about(token)}")
    print(f"token   {secret}   (shown this once)")


def _list(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice import tokens

    found, problems = tokens.load_all(admin.store)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if options.json:
        print(json.dumps([_for_programs(token) for token in found], indent=1))
        return
    for token in found:
        print(f"{token.id}  {_about(token)}")
    if not found:
        print("there are no tokens: sluice token create")


def _revoke(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice import tokens

    print(f"revoked {tokens.revoke(admin.store, options.id).id}")


def _about(token: "Token") -> str:
    cameras = "all cameras" if token.cameras is None else " ".join(token.cameras)
    end = "for ever"
    if token.expires:
        word = "expired" if token.has_expired(datetime.now(UTC)) else "until"
        end = f"{word} {token.expires:%Y-%m-%d %H:%M} UTC"
    # A note must not drive the operator's terminal.
    note = "".join(letter if letter.isprintable() else " " for letter in token.note)
    return f"{token.role} of {cameras}, {end}{f' ({note})' if note else ''}"


def _for_programs(token: "Token") -> dict[str, Any]:
    return {
        "id": token.id,
        "role": token.role,
        "cameras": token.cameras,
        "created": token.created.isoformat(),
        "expires": token.expires.isoformat() if token.expires else None,
        "expired": token.has_expired(datetime.now(UTC)),
        "note": token.note,
    }
