"""The command line: `autobird predict | summary | clips | similar | review | serve | bundle | scores | compare | demo`."""

import argparse
import os
import sys
from collections.abc import Sequence

from autobird.commands import bundle, clips, compare, demo, predict, review, scores, serve, similar, summary
from autobird.core.errors import AutobirdError

COMMANDS = (predict, summary, clips, similar, review, serve, bundle, scores, compare, demo)
"""The modules of the commands. Each imports what it needs when it runs, so that all commands start quickly."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the parsed arguments have the function of the command as `handler`."""
    p = argparse.ArgumentParser(prog="autobird", description="Train and use your own classifier of bird recordings.")
    commands = p.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        module.add_parser(commands)
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command `autobird`."""
    args = parser().parse_args(argv)
    try:
        status: int | None = args.handler(args)
        if status is not None:
            sys.exit(status)
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells report it
    except BrokenPipeError:
        # The reader of the output, for example `head`, has ended. Python would report it once more when it flushes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
