"""The embedded corpus: a synthesiser of bird songs that writes real audio files."""
