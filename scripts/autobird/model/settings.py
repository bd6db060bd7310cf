"""Settings of the training: architecture, recipe, precision. Unset keys take the recipe of the architecture."""

from typing import Any, Literal

from pydantic import Field, model_validator

from autobird.core.settings import Settings

ORIGINAL_RECIPE: dict[str, Any] = {
    "epochs": 50,
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 3e-4,
    "weight_decay": 1e-4,
    "schedule": "step",
    "select": "best",
    "sampler": "uniform",
    "label_smoothing": 0.0,
    "mix_probability": 0.0,
    "roll": False,
    "gain_db": 0.0,
    "equaliser_db": 0.0,
    "mask_probability": 0.0,
    "ema_decay": 0.0,
    "dropout": 0.1,
}
"""The original project's recipe for `cnn_transformer`; what is not named here is the same as the default."""


class TrainSettings(Settings):
    """Training. The defaults are the recipe of `resnet`; `cnn_transformer` brings the original project's."""

    architecture: Literal["resnet", "cnn_transformer"] = Field(
        "resnet",
        description="`resnet`: small residual CNN; `cnn_transformer`: the original project's network and recipe.",
    )
    width: int = Field(
        16,
        ge=4,
        le=256,
        description="Channels of the resnet's stem; its stages have 1, 2, 4, 8 times as many.",
    )
    d_model: int = Field(64, ge=8, le=1024, description="Width of the transformer; a multiple of `heads`.")
    heads: int = Field(2, ge=1, le=32, description="Attention heads of the transformer.")
    layers: int = Field(1, ge=1, le=24, description="Layers of the transformer.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout before the classifier, and in the transformer.")
    seed: int = Field(4, ge=0, description="Seed of weights, order and augmentation.")
    threads: int = Field(
        2,
        ge=1,
        le=256,
        description="CPU threads of the training: a setting, not the number of cores, because the bytes "
        "of the weights depend on it.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto`: a GPU if there is one.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="`auto`: bfloat16 where the CPU or GPU computes in it, float16 on other GPUs, else float32.",
    )
    epochs: int = Field(18, ge=1, le=10000, description="Passes over as many windows as the training split has.")
    batch_size: int = Field(16, ge=1, le=4096, description="Windows per step.")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="`adam`: weight decay as L2; `adamw`: decoupled.")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Highest learning rate.")
    weight_decay: float = Field(0.02, ge=0, le=1, description="Weight decay.")
    schedule: Literal["one_cycle", "step", "constant"] = Field(
        "one_cycle",
        description="`one_cycle`: linear warm-up, then cosine to zero; `step`: times `gamma` every `step_size` epochs.",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that warm up (`one_cycle`).")
    step_size: int = Field(5, ge=1, description="Epochs between two drops (`step`).")
    gamma: float = Field(0.5, gt=0, le=1, description="Factor of a drop (`step`).")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="Share of the target spread over all species.")
    sampler: Literal["uniform", "weighted", "balanced"] = Field(
        "balanced",
        description="`uniform`: every window once per epoch; `weighted`: windows drawn so that species are equally frequent; "
        "`balanced`: species by the square root of their windows, then a recording, then a window.",
    )
    mix_probability: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Share of windows that are mixed with another one (powers added, labels shared).",
    )
    roll: bool = Field(True, description="Rotate windows in time by a random amount.")
    gain_db: float = Field(6.0, ge=0, le=60, description="Random gain of up to so many dB, either way.")
    equaliser_db: float = Field(
        6.0, ge=0, le=60, description="Random smooth equaliser over the mel bands, standard deviation in dB."
    )
    mask_probability: float = Field(
        0.3, ge=0, le=1, description="Probability of a frequency mask, and of a time mask, per window."
    )
    mask_bands: int = Field(8, ge=0, description="Widest frequency mask, mel bands.")
    mask_frames: int = Field(20, ge=0, description="Longest time mask, frames.")
    ema_decay: float = Field(
        0.995, ge=0, lt=1, description="Decay of the averaged weights that are evaluated and kept; 0: off."
    )
    select: Literal["best", "last"] = Field(
        "last",
        description="`best`: the epoch with the highest validation macro-F1 by window; `last`: the last epoch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("architecture") == "cnn_transformer":
            return ORIGINAL_RECIPE | data
        return data

    @model_validator(mode="after")
    def _heads_fit(self) -> "TrainSettings":
        if self.d_model % self.heads:
            raise ValueError(
                f"d_model {self.d_model} is not a multiple of heads {self.heads}; "
                f"set d_model to {self.heads * max(1, self.d_model // self.heads)}"
            )
        return self
