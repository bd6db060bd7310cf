"""What speaks to servers: the lists of remote sources, and their recordings. Nothing here runs while the Snakefile is parsed."""
