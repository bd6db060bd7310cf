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


def batch_audio(wildcards):
    """The batch's tar archive; empty if jobs can read the recordings directly from a local folder."""
    return [] if SHARED and not DOWNLOADED else CORPUS / f"audio/{wildcards.batch}.tar"


def batch_fetch_results(wildcards):
    """The table that tells which recordings of the batch were downloaded; empty if the source needs no download."""
    downloads = DOWNLOADED and not DEMO
    return CORPUS / f"audio/{wildcards.batch}.csv" if downloads else []
