"""Code that all stages share: settings, errors, files, tables, logging, progress and worker processes."""
