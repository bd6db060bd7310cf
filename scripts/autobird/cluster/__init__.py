"""Where jobs run: what they ask of a machine, and what may be wrong with a cluster, in words that help."""
