"""Network access of the stages `refresh_sources` and `download`. The Snakefile imports nothing from here."""
