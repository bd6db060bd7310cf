"""Settings of the features: windows, front end, filters. Each part is what one stage needs."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from autobird.core.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class RateSettings(Settings):
    """What recordings are decoded to (stage `recordings`)."""

    sample_rate: int = Field(16000, ge=2000, le=192000, description="Sampling rate of the features, Hz.")


class WindowSettings(RateSettings):
    """How a recording is cut (stage `segment`)."""

    window: float = Field(5.0, gt=0, le=60, description="Length of a window, seconds.")
    hop: float = Field(
        2.5,
        gt=0,
        le=60,
        description="Distance between the starts of two windows, seconds; at most `window`, so that nothing is skipped.",
    )

    @model_validator(mode="after")
    def _hop_fits(self) -> Self:
        if self.hop > self.window:
            raise ValueError(
                f"hop {self.hop:g} s is longer than window {self.window:g} s, so sound between windows would be "
                "skipped; set hop to at most window"
            )
        return self

    @property
    def window_samples(self) -> int:
        """Samples of one window."""
        return round(self.window * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of two windows."""
        return round(self.hop * self.sample_rate)


class MelSettings(WindowSettings):
    """The front end (stage `mel_shards`)."""

    n_fft: int = Field(1024, ge=64, le=16384, description="Length of the Fourier transform, samples.")
    hop_length: int = Field(512, ge=1, le=16384, description="Distance between two frames, samples; at most `n_fft`.")
    mels: int = Field(64, ge=4, le=512, description="Number of mel bands.")
    fmin: float = Field(20.0, ge=0, description="Lower edge of the lowest band, Hz.")
    fmax: float = Field(8000.0, gt=0, description="Upper edge of the highest band, Hz; at most half the sampling rate.")
    alignment: Literal["recording", "window"] = Field(
        "recording",
        description="`recording`: frames are computed once over the recording and shared by overlapping windows; "
        "`window`: each window alone, as the original project did (up to 4.3 nats apart in single cells).",
    )

    front_end: Literal["log_mel", "pcen", "magnitude"] = Field(
        "log_mel",
        description="What becomes of mel power: `log_mel`: ln(power + 1e-6); `pcen`: per-channel energy normalisation "
        "(Wang et al. 2017), which divides out level and lasting noise; `magnitude`: magnitude to a power.",
    )
    pcen_time_constant: float = Field(0.4, gt=0, le=60, description="How long PCEN's noise level lags behind, seconds.")
    pcen_gain: float = Field(0.98, ge=0, le=1, description="How much of that level PCEN divides out: 1 all, 0 nothing.")
    pcen_bias: float = Field(2.0, ge=0, description="Added by PCEN before its root, so that small values matter less.")
    pcen_power: float = Field(0.5, gt=0, le=1, description="PCEN's root: 0.5 is the square root.")
    magnitude_exponent: float = Field(
        0.5, gt=0, le=2, description="The power that `front_end: magnitude` raises magnitudes to."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"hop_length {self.hop_length} is longer than n_fft {self.n_fft}; set hop_length to at most n_fft"
            )
        if self.fmax > self.sample_rate / 2:
            raise ValueError(
                f"fmax {self.fmax:g} Hz lies above the Nyquist frequency of {self.sample_rate} Hz; "
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
    """Which windows are kept (stage `dataset`)."""

    min_rms: float = Field(
        0.005, ge=0, le=1, description="Windows quieter than this are left out; RMS, full scale = 1."
    )
    min_mel_std: float = Field(
        0.10,
        ge=0,
        description="Windows whose standard deviation over their mel cells is below this are left out, in the front "
        "end's units (nats for log-mel).",
    )


class FeatureSettings(MelSettings, FilterSettings):
    """Features: how sound becomes windows of mel frames. Stored once per `name`, shared by runs."""

    name: Name = Field("features", description="Folder of the features: results/features/<name>.")
    clean_pcm: bool = Field(
        False,
        description="Remove the decoded sound once the mel shards exist (a change in the mels then decodes again).",
    )
