"""What every stage shares: settings, errors, files, tables, the frame a stage runs in."""
