"""`sluice user`: who may read events from outside, and what of them."""

import argparse
import json
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.cli.times import ago, days
from sluice.errors import SluiceError, UnavailableError

if TYPE_CHECKING:
    from sluice.local.administrator import Administrator
    from sluice.preparation.readers import Reader

EXAMPLES: Final = """\
examples:
  sluice user add wall --camera gate --camera yard --kind detections
  sluice user add auditor --days 30
  sluice user replay wall --since 2h
  sluice user list --secret | kubectl apply -f -
"""
ANSWER_S: Final = 20


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "user",
        help="let somebody read events, and nothing else",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    new = _verb(verbs, "add", "make a user and its password")
    new.add_argument("--camera", action="append", default=[], metavar="C", help="only of this camera; again for more")
    new.add_argument("--kind", action="append", default=[], metavar="K", help="only of this kind; again for more")
    new.add_argument("--days", type=days, metavar="N", help="let it in for so long")
    new.add_argument(
        "--since",
        type=ago,
        metavar="10m",
        help="where its replay begins, 0s: now (default: all that is there, up to 7 days)",
    )
    shown = _verb(verbs, "list", "name, subjects, end of each", named=False)
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.add_argument("--secret", action="store_true", help="all of NATS' users as a Kubernetes Secret, instead")
    shown.add_argument(
        "--secrets", type=Path, metavar="DIR", help="with --secret: the parts' passwords (default STATE/secrets)"
    )
    again = _verb(verbs, "replay", "begin its replay again, further back")
    again.add_argument("--since", type=ago, required=True, metavar="2h", help="begin so long ago")
    _verb(verbs, "remove", "disconnect it and forget it")


def _verb(verbs: Any, name: str, about: str, *, named: bool = True) -> Any:
    verb = verbs.add_parser(name, help=about)
    verb.add_argument("--state", type=Path, default=argparse.SUPPRESS, help="state folder (default .sluice)")
    if named:
        verb.add_argument("name", metavar="NAME")
    verb.set_defaults(run=run, verb=name)
    return verb


def run(options: argparse.Namespace) -> int:
    """Connect as the administrator and do it."""
    from sluice.local.administrator import administrator

    with administrator(options.state) as admin:
        {"add": _add, "list": _list, "replay": _replay, "remove": _remove}[options.verb](options, admin)
    return 0


def _add(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice.names import camera_key
    from sluice.preparation import readers

    now = datetime.now(UTC)
    password, kept = readers.new_password()
    reader = readers.Reader(
        name=options.name,
        password=kept,
        created=now,
        cameras=tuple(dict.fromkeys(options.camera)),
        kinds=tuple(dict.fromkeys(options.kind)),
        expires=None if options.days is None else now + options.days,
        since=None if options.since is None else now - options.since,
    )
    for camera in reader.cameras:
        if not any(admin.store.list(camera_key(camera))):
            _warn(f"there is no camera {camera}, yet")
    readers.create(admin.store, reader)
    # The password first: nothing that fails from here on may keep it from being shown.
    print(f"added {reader.name}")
    print(f"user      {reader.login}")
    print(f"password  {password}   (shown this once)")
    print(f"subjects  {' '.join(reader.subjects)}")
    print(f"replay    {' '.join(f'{each.stream}/{each.name}' for each in reader.consumers)}")
    print(f"inbox     _INBOX.{reader.login}   (a client's inbox prefix, needed for replay)", flush=True)
    try:
        _make_consumers(admin, reader)
    except UnavailableError as error:
        _warn(f"{error}; the local runtime makes its replay when NATS is back, else: sluice user replay {reader.name}")
    _tell(options.state)


def _list(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice.preparation import readers

    now, found = datetime.now(UTC), readers.load_all(admin.store)
    for problem in found.problems:
        _warn(problem)
    if options.secret:
        _print_secret(options, [each for each in found.readers if not each.has_expired(now)])
    elif options.json:
        print(json.dumps([_for_programs(each, now) for each in found.readers], indent=1))
    else:
        for each in found.readers:
            print(f"{each.name:20} {_end(each, now):28} {' '.join(each.subjects)}")
        if not found.readers:
            print("there are no users: sluice user add NAME")


def _for_programs(reader: "Reader", now: datetime) -> dict[str, Any]:
    return {
        "name": reader.name,
        "login": reader.login,
        "cameras": reader.cameras,
        "kinds": reader.kinds,
        "subjects": reader.subjects,
        "consumers": {each.stream: each.name for each in reader.consumers},
        "created": reader.created.isoformat(),
        "expires": reader.expires.isoformat() if reader.expires else None,
        "expired": reader.has_expired(now),
    }


def _end(reader: "Reader", now: datetime) -> str:
    if reader.expires is None:
        return "for ever"
    return f"{'expired' if reader.has_expired(now) else 'until'} {reader.expires:%Y-%m-%d %H:%M} UTC"


def _print_secret(options: argparse.Namespace, wanted: "list[Reader]") -> None:
    """Whole, as NATS takes no list of users in pieces: the parts', too."""
    from sluice.local.nats import authorization
    from sluice.preparation.access import ADMIN
    from sluice.preparation.secrets import load_or_create

    folder = options.secrets or options.state / "secrets"
    if not (folder / f"{ADMIN}.env").exists():
        # New ones would lock every part out.
        raise SluiceError(f"no secrets in {folder}: name the folder that sluice init --secrets used")
    parts = load_or_create(folder).nats_users()
    text = "\n".join(authorization([*parts, *(each.nats_user() for each in wanted)])) + "\n"
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sluice-nats-authorization"},
        "stringData": {"authorization.conf": text},
    }
    print(json.dumps(manifest, indent=1))


def _replay(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice.preparation import readers

    since = datetime.now(UTC) - options.since
    reader = readers.begin_again(admin.store, readers.load(admin.store, options.name), since)
    for consumer in reader.consumers:
        admin.bus.forget(consumer)
    _make_consumers(admin, reader)
    print(f"{reader.name} is given everything since {since:%Y-%m-%d %H:%M:%S} UTC again")


def _remove(options: argparse.Namespace, admin: "Administrator") -> None:
    from sluice.preparation import readers

    reader = readers.load(admin.store, options.name)
    admin.store.delete([reader.key])
    print(f"removed {reader.name}", flush=True)
    _tell(options.state)
    try:
        for consumer in reader.consumers:
            admin.bus.forget(consumer)
    except UnavailableError as error:
        _warn(f"{error}; NATS forgets where it was within seven days")


def _make_consumers(admin: "Administrator", reader: "Reader") -> None:
    from sluice.topology import CHUNKS, RESULTS

    admin.bus.ensure([RESULTS, CHUNKS], reader.consumers, [])


def _tell(state: Path) -> None:
    """Have the local runtime look now; elsewhere say who has to."""
    from sluice.local.state import read_runtime

    runtime = read_runtime(state)
    if runtime is None:
        print("NATS learns of it by: sluice user list --secret | kubectl apply -f -, and its reload")
        return
    request = urllib.request.Request(f"{runtime['endpoints']['admin']}/users", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S):
            pass
    except OSError as error:
        _warn(f"the runtime did not take it at once ({error}); it looks twice a minute")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
