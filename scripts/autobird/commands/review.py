"""`autobird review`: a queue of a model's answers for people to check, and what their decisions say about its precision."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import add_backbone, add_jobs, add_places, count, seconds, share
from autobird.core.errors import AutobirdError

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands
    from autobird.review.filters import PoolFilter
    from autobird.review.session import ReviewSession

OUTPUT = "review"
"""Folder of a review, unless another one is named."""


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "review", help="check a model's answers for your recordings: queues, decisions, precision, thresholds"
    )
    add_review_options(parser)
    parser.add_argument("--host", help="address of the review screen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", help="its port (default: 8000)")
    parser.add_argument("--open", action="store_true", help="open the review screen in the browser")
    parser.add_argument("--report", action="store_true", help="print the summary of the decisions so far, and end")
    parser.add_argument(
        "--apply-precision",
        type=share,
        metavar="P",
        help="write the thresholds that reach this precision on the reviewed recordings to the table beside the bundle",
    )
    parser.add_argument(
        "--lower-bound",
        action="store_true",
        help="with --apply-precision: the lower end of the interval must reach the precision, not only the estimate",
    )
    parser.set_defaults(handler=run)


def add_review_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a review; `session_of` reads them."""
    parser.add_argument("run", type=Path, help="folder of a run (results/demo) or of its bundle")
    parser.add_argument("--recordings", type=Path, required=True, metavar="FOLDER", help="folder of the recordings")
    parser.add_argument(
        "--output", type=Path, default=Path(OUTPUT), metavar="DIR", help=f"folder of the review (default: {OUTPUT})"
    )
    parser.add_argument(
        "--queue",
        choices=("stratified", "random", "uncertain", "unlike", "similar"),  # as `review.queues.QUEUES`
        default="stratified",
        help="which items come first: equally many of each species and score (default), a random sample, those nearest to the threshold, "
        "those least like the training set, or those most similar to --clip",
    )
    parser.add_argument("--count", type=count, default=200, help="number of items in the queue (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws another sample (default: 0)")
    parser.add_argument("--reviewer", default="", metavar="NAME", help="your name in the table of decisions")
    parser.add_argument("--species", action="append", default=[], metavar="NAME", help="only this species; repeatable")
    parser.add_argument("--only-site", action="append", default=[], metavar="SITE", help="only this site; repeatable")
    parser.add_argument(
        "--hours", type=_hours, metavar="FROM-TO", help="only windows of these hours, for example 4-8 or 22-4"
    )
    parser.add_argument(
        "--min-probability", type=share, default=0.0, help="leave out answers of a lower probability (default: 0)"
    )
    parser.add_argument(
        "--floor",
        type=share,
        default=0.02,
        help="lowest probability of an answer among the candidates (default: 0.02)",
    )
    parser.add_argument("--clip", type=Path, help="recording with the sound to look for (--queue similar)")
    parser.add_argument(
        "--at", type=seconds, help="start of the sound in the clip, seconds (default: its loudest window)"
    )
    add_places(parser)
    add_backbone(parser)
    add_jobs(parser)


def session_of(args: argparse.Namespace) -> "ReviewSession":
    """Return the review that the options describe; the candidates are made, or read if they were made before."""
    from autobird.predict.origin import Places
    from autobird.review.candidates import PoolOptions
    from autobird.review.queues import QueueOptions
    from autobird.review.session import ReviewSession

    options = QueueOptions(args.queue, args.count, args.seed, filter=_filter(args))
    places = Places.named(args.site, args.time_zone or "", args.recorder_clock or "")
    pool_options = PoolOptions(args.floor, places, args.jobs, args.backbone)
    return ReviewSession(bundle_of(args.run), args.recordings, args.output, options, pool_options, args.clip, args.at)


def bundle_of(run: Path) -> Path:
    """Return the bundle of a run, or the folder itself if it is a bundle.

    Raises:
        AutobirdError: the folder is neither.
    """
    for folder in (run, run / "release" / "bundle"):
        if (folder / "bundle.json").is_file():
            return folder
    raise AutobirdError(
        f"{run} is neither the folder of a finished run nor a bundle; give one, for example results/demo"
    )


def run(args: argparse.Namespace) -> int:
    """Make the candidates and the queue, and start the review screen; or print the summary, or write thresholds."""
    from autobird.review.report import format_report, format_thresholds

    session = session_of(args)
    if args.apply_precision is not None:
        chosen = session.choose(args.apply_precision, args.lower_bound)
        path = session.apply(chosen)
        print("\n".join(format_thresholds(chosen, args.apply_precision, session.bundle.labels)))
        print(f"{path} written; autobird predict, the server and snakemake predict use it from now on")
        return 0
    if args.report:
        print(format_report(session))
        return 0
    print(f"{len(session.pool.item_window)} candidates in {session.folder}; the queue has {len(session.queue)} items")
    if args.reviewer:
        progress = session.progress(args.reviewer)
        print(f"{args.reviewer} has decided about {progress.decided} of them")
    _serve(args, session)
    return 0


def _serve(args: argparse.Namespace, session: "ReviewSession") -> None:
    """Run the server with the review screen until the process is terminated."""
    from autobird.serving.options import serve_settings
    from autobird.serving.server import serve

    # One process is enough for recordings that are dropped on the page beside the review.
    options = {"host": args.host, "port": args.port, "workers": 1, "backbone": args.backbone and str(args.backbone)}
    serve(session.bundle.folder, serve_settings(options), session, args.reviewer.strip(), args.open)


def _filter(args: argparse.Namespace) -> "PoolFilter":
    from autobird.review.filters import PoolFilter

    return PoolFilter(tuple(args.species), tuple(args.only_site), args.hours, args.min_probability)


def _hours(text: str) -> tuple[float, float]:
    first, _, last = text.partition("-")
    try:
        hours = float(first), float(last)
    except ValueError:
        hours = (-1.0, -1.0)
    if not all(0 <= hour <= 24 for hour in hours):
        raise argparse.ArgumentTypeError(f"{text} is not like 4-8: two hours from 0 to 24")
    return hours
