"""Names of the files of a bundle; the Snakefile imports this module, so it must import quickly."""

GRAPH, DESCRIPTION, MANIFEST = "model.onnx", "bundle.json", "manifest.json"
"""File names: the network, its settings and calibration, and the sha256 of every other file."""

FILES = (
    GRAPH,
    DESCRIPTION,
    "drift_reference.json",
    "MODEL_CARD.md",
    "ATTRIBUTION.csv",
    "provenance.json",
    "example.flac",
    "expected.json",
    MANIFEST,
)
"""Names of all files of a bundle."""
