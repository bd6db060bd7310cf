"""Sources of recordings: each lists its recordings and their metadata without network access and without decoding audio."""
