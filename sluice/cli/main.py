"""The `sluice` command."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from sluice.errors import SluiceError

COMMANDS: Final = (
    "up",
    "down",
    "status",
    "logs",
    "camera",
    "apply",
    "doctor",
    "model",
    "snapshot",
    "deadletter",
    "init",
    "demo",
    "events",
    "republish",
    "user",
    "token",
    "play",
    "clip",
    "top",
)
"""Each is a module of sluice.cli with `add`."""
OURS: Final = ("sluice", "segmenter", "functions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what cannot be done is one sentence and status 1, not a stack."""
    parser = argparse.ArgumentParser(prog="sluice", description="Turns cameras into events with serverless functions.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"sluice.cli.{name}").add(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except SluiceError as error:
        print(error, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in OURS:
            raise
        # An image holds what the parts of a cluster need: no runtime in place of the cluster.
        print(f"the Python package {error.name!r} is missing: run this in a checkout, see `make help`", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
