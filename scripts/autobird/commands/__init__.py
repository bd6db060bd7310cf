"""The commands of the command line, one module each: `add_parser` declares its options, and `run` executes it."""
