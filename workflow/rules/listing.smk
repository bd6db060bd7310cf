"""The listing of the corpus, which is made when this file is parsed, and the files of its batches. Contains no rules."""


class MissingListing:
    """Takes the place of a listing that `snakemake refresh_sources` must fetch first; fails only when it is used."""

    sizes = []
    given_splits = 0

    def __init__(self, error):
        self.error = error
        self.manifests = self

    def digest(self, table):
        exit_with_error(self.error)


def list_corpus():
    """List the source and store its tables; only in the main process, because jobs may not reach the source."""
    if not workflow.is_main_process:
        return None
    try:
        found = Listing(source_of(CONFIG.corpus, HASHES), CONFIG.corpus)
        print_notes(found.notes)  # before a refusal, because they give its reason
        found.check()
        found.manifests.store(TABLES)
    except LockMissing as error:
        return MissingListing(error)
    except AutobirdError as error:
        exit_with_error(error)
    return found


LISTING = list_corpus()


def manifest_digest(wildcards):
    """sha256 of a table of the listing: the manifest of a batch, or a table about all recordings."""
    return LISTING.manifests.digest(wildcards.table) if LISTING else ""


# The tar archive of the local recordings of a batch, for jobs that cannot read their folders.
PACKED = CORPUS / ("audio/local" if DEMO or DOWNLOADED else "audio") / "{batch}.tar"


def batch_audio(wildcards):
    """The tar archives of the batch; empty if jobs can read all its recordings directly from local folders."""
    tars = [CORPUS / "audio/{batch}.tar"] if DEMO or DOWNLOADED else []
    if not SHARED and "folder" in STORAGES:
        tars.append(PACKED)
    return expand(list(map(str, tars)), batch=wildcards.batch)


def batch_fetch_results(wildcards):
    """The table that tells which recordings of the batch were downloaded; empty if no source needs a download."""
    return CORPUS / f"audio/{wildcards.batch}.csv" if DOWNLOADED else []


def demo_settings():
    """The settings of the demo, which is the only source or one of several."""
    sources = CONFIG.corpus.sources or (CONFIG.corpus,)
    return next(source.demo for source in sources if source.type == "demo")
