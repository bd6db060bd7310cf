"""Names of the drift features; imports nothing, so that the server's front process need not load NumPy."""

AUDIO_FEATURES = ("mel_mean", "mel_std", "energy_mean", "energy_std", "level", "bandwidth")
"""Features of the audio: mean and standard deviation of the mel values (in the front end's units) and of the frames' energy
(nats), which the original project used; and level (dBFS) and bandwidth (Hz). With PCEN, power cannot be computed from the mel
values, so energy and bandwidth use the PCEN values instead."""

MODEL_FEATURES = ("confidence", "entropy")
"""Features of the model's output: highest probability, and entropy (nats) of the probabilities, or with independent outputs the mean
over the species of the entropy of their probability and its complement; means over windows."""

TITLES: dict[str, tuple[str, str]] = {
    "mel_mean": ("mean of the mel values", "front-end units"),
    "mel_std": ("standard deviation of the mel values", "front-end units"),
    "energy_mean": ("mean energy of the frames", "nats"),
    "energy_std": ("standard deviation of the energy", "nats"),
    "level": ("level", "dBFS"),
    "bandwidth": ("bandwidth", "Hz"),
    "confidence": ("highest probability of the windows", ""),
    "entropy": ("entropy of the probabilities", "nats"),
}
"""Name for people and unit of each feature."""

DRIFT_FEATURES = AUDIO_FEATURES + MODEL_FEATURES
