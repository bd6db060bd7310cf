"""The checked corpus: decoded recordings, near-duplicates, quarantine, catalogue."""
