"""Settings of the features: windows, front end, filters. Each class holds the settings of one stage."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from autobird.core.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RateSettings(Settings):
    """Sampling rate of the decoded audio (stage `recordings`)."""

    sample_rate: int = Field(
        16000, ge=2000, le=192000, description="Sampling rate to which all recordings are converted, Hz."
    )


class WindowSettings(RateSettings):
    """How a recording is cut into windows (stage `segment`)."""

    window: float = Field(5.0, gt=0, le=60, description="Length of the windows that recordings are cut into, seconds.")
    hop: float = Field(
        2.5,
        gt=0,
        le=60,
        description="Time from the start of one window to the start of the next, seconds; at most `window`, so that no audio is "
        "skipped. Half of `window` means that windows overlap by half.",
    )

    @model_validator(mode="after")
    def _hop_fits(self) -> Self:
        if self.hop > self.window:
            raise ValueError(
                f"hop {self.hop:g} s is longer than window {self.window:g} s, so audio between windows would be "
                "skipped; set hop to at most window"
            )
        return self

    @property
    def window_samples(self) -> int:
        """Length of a window, samples."""
        return round(self.window * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Hop between windows, samples."""
        return round(self.hop * self.sample_rate)


class MelSettings(WindowSettings):
    """The front end: from samples to mel spectrograms (stage `mel_shards`)."""

    n_fft: int = Field(
        1024, ge=64, le=16384, description="Length of the Fourier transform (FFT) of one spectrogram frame, samples."
    )
    hop_length: int = Field(
        512, ge=1, le=16384, description="Samples from one spectrogram frame to the next; at most `n_fft`."
    )
    mels: int = Field(64, ge=4, le=512, description="Number of mel frequency bands of the spectrogram.")
    fmin: float = Field(20.0, ge=0, description="Lower edge of the lowest mel band, Hz.")
    fmax: float = Field(
        8000.0, gt=0, description="Upper edge of the highest mel band, Hz; at most half of `sample_rate`."
    )
    alignment: Literal["recording", "window"] = Field(
        "recording",
        description="`recording`: the spectrogram is computed once for the whole recording, and overlapping windows share its "
        "frames. `window`: it is computed for each window separately, as the original project did; the values of the two "
        "methods differ by up to 4.3 nats.",
    )

    front_end: Literal["log_mel", "pcen", "magnitude"] = Field(
        "log_mel",
        description="Scaling of the power in the mel bands. `log_mel`: natural logarithm, ln(power + 1e-6). `pcen`: per-channel "
        "energy normalisation (Wang et al. 2017), which reduces stationary noise and differences in level between recordings. "
        "`magnitude`: the magnitude raised to `magnitude_exponent`.",
    )
    pcen_time_constant: float = Field(
        0.4, gt=0, le=60, description="Time constant of PCEN's estimate of the noise level, seconds."
    )
    pcen_gain: float = Field(
        0.98, ge=0, le=1, description="Strength of PCEN's division by the noise level: 0 none, 1 full."
    )
    pcen_bias: float = Field(
        2.0, ge=0, description="PCEN adds this before it takes the root, which reduces the influence of small values."
    )
    pcen_power: float = Field(0.5, gt=0, le=1, description="Exponent of PCEN's root; 0.5 is the square root.")
    magnitude_exponent: float = Field(
        0.5, gt=0, le=2, description="Exponent of `front_end: magnitude`; smaller values reduce the dynamic range more."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}; set hop_length to at most n_fft"
            )
        if self.fmax > self.sample_rate / 2:
            raise ValueError(
                f"fmax {self.fmax:g} Hz is above the Nyquist frequency of sample_rate {self.sample_rate} Hz; "
                f"set fmax to at most {self.sample_rate / 2:g}"
            )
        if self.fmin >= self.fmax:
            raise ValueError(f"fmin {self.fmin:g} Hz is not below fmax {self.fmax:g} Hz; set fmin below fmax")
        if self.n_fft > self.window * self.sample_rate:
            raise ValueError(
                f"n_fft {self.n_fft} is longer than the window of {self.window:g} s; lengthen window or shorten n_fft"
            )
        return self


class FilterSettings(Settings):
    """Which windows are too quiet to use (stage `dataset`)."""

    min_rms: float = Field(
        0.005, ge=0, le=1, description="Windows with a lower RMS level are not used; full scale = 1."
    )
    min_mel_std: float = Field(
        0.10,
        ge=0,
        description="Windows whose spectrogram values have a lower standard deviation (little structure, such as even noise) are "
        "not used; in the units of the front end, nats for `log_mel`.",
    )


class FeatureSettings(MelSettings, FilterSettings):
    """All settings of the features, which runs with the same `name` share."""

    name: Name = Field(
        "features",
        description="Name of the features. Runs with the same name share `results/features/<name>`.",
    )
    clean_pcm: bool = Field(
        False,
        description="Delete the decoded audio once the mel spectrograms are computed, to save disk space. A later change of the "
        "spectrogram settings then decodes all recordings again.",
    )
