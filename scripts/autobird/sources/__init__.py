"""Where recordings come from: each source lists what it holds; no network, no decoding."""
