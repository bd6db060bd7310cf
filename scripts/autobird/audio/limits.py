"""Limits on the work and the memory that a recording can cause, whatever its header declares."""

from autobird.audio.audio_errors import TooLong, UnusableAudio

MAX_SAMPLE_RATE = 1_000_000
"""Hz. Recorders for bats use up to 500 kHz, laboratory systems for ultrasound up to 1 MHz."""

MIN_SAMPLE_RATE = 100
"""Hz. Below this there is no bird in the audio, and resampling to thousands of Hz multiplies the samples."""

MAX_CHANNELS = 64
"""The largest microphone arrays in the field have 16 to 64 channels."""

MAX_SAMPLES_PER_SECOND = 2_000_000
"""Of all channels together. The fastest recorders use 384 kHz on 2 channels (768,000) or 192 kHz on 8 (1,536,000)."""

SAMPLES_PER_SECOND_OF_MAX_DURATION = 768_000
"""A recording may have as many samples of all channels as stereo at 384 kHz of the longest accepted duration: faster
recordings must be shorter. 600 s, the server's limit, are 461 million samples, which are decoded in a few seconds."""

MAX_BLOCK_FRAMES = 1 << 16
"""Frames decoded at a time. Whole files as float32 need new memory pages for each file, which takes twice as long."""

MAX_BLOCK_SAMPLES = 8 * MAX_BLOCK_FRAMES
"""Samples of all channels decoded at a time: 2 MiB of float32."""


def check_rate_and_channels(sample_rate: int, channels: int) -> None:
    """Raise UnusableAudio for a sampling rate (Hz) or a number of channels that no recording has."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise UnusableAudio(
            f"the header declares a sampling rate of {sample_rate} Hz, which is not between {MIN_SAMPLE_RATE} and "
            f"{MAX_SAMPLE_RATE} Hz; correct the header or convert the file"
        )
    if channels > MAX_CHANNELS:
        raise UnusableAudio(f"{channels} channels are more than {MAX_CHANNELS}; export fewer channels")
    if sample_rate * channels > MAX_SAMPLES_PER_SECOND:
        raise UnusableAudio(
            f"{channels} channels at {sample_rate} Hz are more than {MAX_SAMPLES_PER_SECOND} samples per second; export fewer "
            "channels or a lower sampling rate"
        )


def check_length(
    frames: int, sample_rate: int, channels: int, max_duration: float, max_values: int | None = None
) -> None:
    """Raise TooLong if the decoded frames last longer than `max_duration` (seconds) or have too many samples in all.

    Args:
        frames: number of decoded frames.
        sample_rate: Hz.
        channels: number of channels.
        max_duration: longest accepted recording, seconds.
        max_values: largest accepted number of samples of all channels together; None: as many as stereo at 384 kHz of the
            longest accepted recording.
    """
    if frames > max_duration * sample_rate:
        raise TooLong(f"longer than {max_duration:g} s of decoded audio")
    if max_values is not None and frames * channels > max_values:
        raise TooLong(
            f"{frames / sample_rate:.0f} s of {channels} channels at {sample_rate} Hz have more than {max_values} samples of all "
            "channels together"
        )
    if frames * channels > max_duration * SAMPLES_PER_SECOND_OF_MAX_DURATION:
        raise TooLong(
            f"{frames / sample_rate:.0f} s of {channels} channels at {sample_rate} Hz have more samples than {max_duration:g} s of "
            "stereo at 384 kHz"
        )


def block_frames(channels: int) -> int:
    """Return how many frames of `channels` channels to decode at a time."""
    return max(1, min(MAX_BLOCK_FRAMES, MAX_BLOCK_SAMPLES // channels))
