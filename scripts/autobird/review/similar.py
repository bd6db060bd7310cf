"""How similar each window of a pool is to a clip, by the embeddings of the bundle's backbone."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.core.decoder_messages import short_decoder_messages
from autobird.core.errors import AutobirdError
from autobird.predict.backbone import check_backbone, load_bundle_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.embed_files import embed_files
from autobird.predict.embedding_cache import EmbeddingCache, user_cache_folder
from autobird.predict.similarity import cosines
from autobird.predict.sought_clip import embed_clip, read_clip
from autobird.review.candidates import PoolOptions
from autobird.review.pool import Pool


def similarities_of(
    bundle: Bundle, pool: Pool, recordings: Path, clip: Path, at: float | None, options: PoolOptions
) -> NDArray[np.float32]:
    """Return the cosine of each window of a pool with a clip; shape (windows,). Windows without an embedding have -1.

    Args:
        bundle: a bundle with a backbone.
        pool: the candidates.
        recordings: folder of the recordings.
        clip: recording with the sound to look for.
        at: start of the sound in the clip, seconds; None: its loudest window.
        options: workers, and file of the backbone.

    Raises:
        AutobirdError: the bundle has no backbone, it is not installed, or the clip cannot be used.
    """
    if bundle.backbone is None:
        raise AutobirdError(
            f"{bundle.folder}: its network has no embeddings in which sounds can be compared; give the bundle of a run on a backbone "
            "(train.architecture: head, config/transfer.yaml), or another --queue"
        )
    check_backbone(bundle, options.backbone)
    s = bundle.features
    with short_decoder_messages():
        sought = read_clip(clip, at, s.window, bundle.backbone.sample_rate)
        cache = EmbeddingCache(user_cache_folder(), bundle.backbone, s)
        used = [n for n, file in enumerate(pool.files) if not file.problem]
        files = [pool.files[n].path(recordings) for n in used]
        digests, _ = embed_files(bundle, cache, files, options.workers, options.backbone)
        backbone = load_bundle_backbone(bundle, options.backbone)
        assert backbone is not None
        query = embed_clip(backbone, bundle, sought)
    known = cache.files(digests)
    out = np.full(len(pool.window_file), -1.0, np.float32)
    rows = cache.rows()
    number = np.rint(pool.window_start / s.hop).astype(np.int64)
    for n, digest in zip(used, digests, strict=True):
        if digest in known:
            values = cosines(rows, [known[digest]], query)
            windows = np.flatnonzero(pool.window_file == n)
            windows = windows[number[windows] < len(values)]
            out[windows] = values[number[windows]]
    return out
