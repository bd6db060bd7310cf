"""Settings of the training: architecture, recipe and precision. The defaults depend on the architecture."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from autobird.core.settings import Settings

ORIGINAL_RECIPE: dict[str, Any] = {
    "outputs": "softmax",
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
    "crop_seconds": 0.0,
    "background_probability": 0.0,
    "ema_decay": 0.0,
    "dropout": 0.1,
}
"""Defaults of `cnn_transformer` where they differ from those of `resnet`: the recipe of the project that Autobird reimplements."""


HEAD_RECIPE: dict[str, Any] = {
    "weight_decay": "auto",
    "sampler": "recordings",
    "negative_share": 0.5,
    "label_smoothing": 0.02,
}
"""Defaults of `head` where they differ from those of `resnet`; docs/heads.md shows how they were chosen."""

SOFTMAX_HEAD_RECIPE: dict[str, Any] = {"label_smoothing": 0.0}
"""Defaults of a `head` with softmax outputs where they differ from those of a head with independent ones."""

STUDENT_RECIPE: dict[str, Any] = {"epochs": 40, "crop_seconds": 0.0, "background_probability": 0.0}
"""Defaults of a network with a teacher where they differ from those without; docs/students.md shows how they were chosen."""

_RECIPES = {"cnn_transformer": ORIGINAL_RECIPE, "head": HEAD_RECIPE}


MAX_SEED = 2**63 - 1
"""Largest seed: torch takes 64 bits with a sign."""


BackgroundLevel = Annotated[float, Field(ge=5, le=60)]
"""dB. The lower bound is the difference from which on mixtures do not hold the species of their quieter part (`augment.AUDIBLE_NATS`)."""


class TrainSettings(Settings):
    """Training. With `cnn_transformer`, the defaults are those of the project that Autobird reimplements."""

    architecture: Literal["resnet", "cnn_transformer", "head"] = Field(
        "resnet",
        description="Network. `resnet`: a small residual convolutional network; `cnn_transformer`: the network of the project that "
        "Autobird reimplements, with its training recipe as the default; `head`: a small classifier on the embeddings of a pretrained "
        "network (section `backbone`), which needs far fewer recordings. Of this section, a head uses only the keys `outputs`, `loss`, "
        "`negative_share`, `hidden`, `backbone_prior`, `seed`, `weight_decay`, `label_smoothing`, `sampler`, `seeds` and `ensemble`; "
        "`snakemake` prints a note about others that are changed.",
    )
    hidden: int = Field(
        0,
        ge=0,
        le=8192,
        description="Size of the hidden layer of a `head`; 0: none, the head is a logistic or softmax regression.",
    )
    backbone_prior: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How much a `head` uses what the backbone already knows: the factor of the backbone's own logits of the species that "
        "it knows, which are added to the logits of the head. 0: not at all, as for a backbone without a list of species.",
    )
    outputs: Literal["independent", "softmax"] = Field(
        "independent",
        description="What the outputs of the network mean. `independent`: the probability of each species by itself (sigmoid), so that "
        "a window can hold several species or none; the training uses windows of several species and negative recordings, too. "
        "`softmax`: probabilities that sum to 1, so that every window is assigned to a species; the training uses windows of exactly "
        "one species.",
    )
    loss: Literal["bce", "focal", "asymmetric"] = Field(
        "bce",
        description="Loss of independent outputs. `bce`: binary cross-entropy; `focal`: gives less weight to what the network already "
        "knows well (Lin et al. 2017); `asymmetric`: does so for absent species alone (Ridnik et al. 2021).",
    )
    negative_share: float = Field(
        0.35,
        ge=0,
        lt=1,
        description="Share of the training that is spent on negative windows, which hold none of the species, if there are any "
        "(independent outputs; not with `sampler: uniform`). The windows with species do not become fewer: an epoch becomes longer.",
    )
    width: int = Field(
        16,
        ge=4,
        le=256,
        description="Channels of the first layer of `resnet`; its four stages have 1, 2, 4 and 8 times as many. More channels make the "
        "network larger and slower.",
    )
    centre_bands: bool = Field(
        True,
        description="Whether `resnet` subtracts from each mel band its mean over the frames of the window with sound, so that with "
        "`features.front_end: log_mel` it depends little on the level of a recording and the frequency response of the recorder "
        "(docs/architectures.md). With false, it subtracts the mean of the training split from all bands. "
        "docs/architectures.md has the scores with PCEN, too.",
    )
    d_model: int = Field(
        64,
        ge=8,
        le=1024,
        description="Width of the transformer layers (`cnn_transformer`); must be a multiple of `heads`.",
    )
    heads: int = Field(
        2, ge=1, le=32, description="Number of attention heads of each transformer layer (`cnn_transformer`)."
    )
    layers: int = Field(1, ge=1, le=24, description="Number of transformer layers (`cnn_transformer`).")
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Dropout rate before the classifier and in the transformer layers: the share of values that are set to zero "
        "at random during training.",
    )
    seed: int = Field(
        4,
        ge=0,
        le=MAX_SEED,
        description="Seed of the random numbers: initial weights, order of the windows, augmentation and dropout.",
    )
    threads: int = Field(
        2,
        ge=1,
        le=256,
        description="Number of CPU threads of the training, of each of its processes. It is not taken from the number of cores, because "
        "the last digits of the trained weights depend on it.",
    )
    devices: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of processes on each machine that share the training (docs/training-distributed.md), each with a GPU or "
        "`threads` CPU threads of its own. It is not taken from the number of GPUs or cores, because the last digits of the trained "
        "weights depend on it.",
    )
    nodes: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of machines that share the training, each with `devices` processes. More than one needs Slurm "
        "(`--profile slurm`).",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="`auto`: use a GPU if there is one; `cpu`: use no GPU; `cuda`: use a GPU, and stop if there is none.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the calculations. `auto`: bfloat16 on a GPU that has instructions for it and on a CPU "
        "with AMX; otherwise float16 on a GPU and float32 on a CPU.",
    )
    epochs: int = Field(
        60,
        ge=1,
        le=10000,
        description="Number of epochs. In each epoch, the network is trained on as many windows as the training split has with species, "
        "and on the share `negative_share` of negative windows besides; with negative windows, on at least 512 in all (if there are as "
        "many).",
    )
    batch_size: int = Field(
        16,
        ge=1,
        le=4096,
        description="Number of windows per training step, of all processes together (`devices`, `nodes`): their number changes the "
        "speed, and the weights only in their last digits.",
    )
    optimizer: Literal["adam", "adamw"] = Field(
        "adamw",
        description="`adamw`: Adam with decoupled weight decay; `adam`: Adam with weight decay as an L2 penalty.",
    )
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Learning rate; with a schedule, its highest value.")
    weight_decay: Annotated[float, Field(ge=0, le=100)] | Literal["auto"] = Field(
        0.02,
        description="Strength of the weight decay, which keeps the weights small; 0: off. `auto`, for a `head` alone: chosen by a "
        "cross-validation inside the training split that does not divide groups of recordings.",
    )
    schedule: Literal["one_cycle", "step", "constant"] = Field(
        "one_cycle",
        description="Change of the learning rate during training. `one_cycle`: linear warm-up, then cosine decay to zero; `step`: "
        "multiplied by `gamma` every `step_size` epochs; `constant`: none.",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of all steps that belong to the warm-up (`one_cycle`).")
    step_size: int = Field(
        5, ge=1, description="Number of epochs between two reductions of the learning rate (`step`)."
    )
    gamma: float = Field(0.5, gt=0, le=1, description="Factor of each reduction of the learning rate (`step`).")
    gradient_clip: float = Field(
        1.0, gt=0, description="Largest norm of the gradient; a larger gradient is scaled down to this norm."
    )
    label_smoothing: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Label smoothing: the share of each training target that is spread evenly over all species, so that of an absent one "
        "is this share divided by the number of species. A `head` with independent outputs spreads it over present and absent.",
    )
    sampler: Literal["uniform", "weighted", "balanced", "recordings"] = Field(
        "balanced",
        description="How the windows of an epoch are drawn, or weighted (`head`). `uniform`: every window once; `weighted`: all species "
        "equally often; `balanced`: each species in proportion to the square root of its number of windows, and within a species each "
        "recording likewise; `recordings`: all species equally often, and within a species all recordings.",
    )
    mix_probability: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Augmentation: share of the windows that are mixed with another window, as if both were heard at once. The "
        "training target is mixed likewise: in proportion with softmax outputs; with independent outputs, the species of both are present, "
        "unless one of the windows is 5 dB or more below the other.",
    )
    roll: bool = Field(
        True,
        description="Augmentation: shift each window in time by a random amount; the frames shifted out at the end are put at "
        "the beginning.",
    )
    gain_db: float = Field(
        6.0,
        ge=0,
        le=60,
        description="Augmentation: largest random change of the volume of a window, up or down, dB. "
        "Not with `features.front_end: pcen`, which removes such changes.",
    )
    equaliser_db: float = Field(
        6.0,
        ge=0,
        le=60,
        description="Augmentation: strength of a random smooth change of the volume over the mel bands of a window, dB. The standard "
        "deviation of the change is 0.72 times this in the mean over the bands, and 1.02 times in the outermost ones. Not with "
        "`features.front_end: pcen`.",
    )
    mask_probability: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Augmentation: probability that some neighbouring mel bands of a window are silenced; the probability that "
        "some neighbouring frames are silenced is the same.",
    )
    mask_bands: int = Field(
        8, ge=0, description="Fewer mel bands than this are silenced, at most half of them; 0 or 1: none."
    )
    mask_frames: int = Field(
        20, ge=0, description="Fewer frames than this are silenced, at most half of a window; 0 or 1: none."
    )
    crop_seconds: float = Field(
        1.25,
        ge=0,
        le=60,
        description="Augmentation: largest random shift of a training window along its recording, earlier or later, seconds; 0: off. A "
        "window is shifted over neighbouring windows that are not quiet, and in an annotated recording only as far as its boxes give it "
        "the same labels. Reviewed windows are not shifted, and neither are those that a network learns from an ensemble "
        "(`ensemble: distill`). Needs `features.alignment: recording`; with `window`, the default is 0.",
    )
    background_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Augmentation: share of the windows to which a background is added: a negative window of the training split, or one of "
        "its windows with an RMS level below `features.min_rms`, also of recordings of species, in which these may be heard faintly. The "
        "training target stays the same. All recordings with such windows are drawn equally often. Without any such window, no background "
        "is added.",
    )
    background_snr_db: tuple[BackgroundLevel, BackgroundLevel] = Field(
        (10.0, 25.0),
        description="Smallest and largest signal-to-noise ratio of a window with a background: how much less power the background has, "
        "drawn uniformly between the two, dB. At least 5, as a species in a quiet window is then not heard in the sum.",
    )
    ema_decay: float = Field(
        0.995,
        ge=0,
        lt=1,
        description="Decay per step of the exponential moving average of the weights. The average is validated and saved in place "
        "of the weights of the last step; 0: no averaging.",
    )
    select: Literal["best", "last"] = Field(
        "last",
        description="Epoch whose weights are saved. `last`: the last one; `best`: the one with the highest macro-F1 over the "
        "validation windows.",
    )

    teacher: str | None = Field(
        None,
        description="Name of a backbone (`backbone.name`) that teaches the network, which then learns from the labels and from the "
        "answers of the backbone with a head. The network itself does not need the backbone. `null`: no teacher.",
    )
    teacher_windows: int = Field(
        16000,
        ge=64,
        le=10_000_000,
        description="Number of windows of sound that the teacher answers: parts of recordings of all splits, played faster or slower, "
        "mixed, filtered and with noise. Those made of recordings of the training split alone are used. Of each batch, at most 240 "
        "recordings and two hours of sound are used (docs/students.md). The teacher needs most of the time of a run.",
    )
    unlabelled: str | None = Field(
        None,
        description="Folder of recordings without labels; needs `teacher`. The network then also learns the teacher's answers to them, "
        "half as many windows as `teacher_windows`. `corpus.licences.train` and `corpus.take_down` apply, with the licences of a "
        "SOURCES.csv or metadata.csv in the folder. Keep recordings out of it that are used for validation or test.",
    )
    teacher_only: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the training, at its start, in which the network learns from the teacher alone, without the labels.",
    )
    teacher_batch: int = Field(
        48,
        ge=1,
        le=4096,
        description="Number of windows with answers of the teacher per training step, beside `batch_size`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, data: Any) -> Any:
        if isinstance(data, dict):
            if data.get("architecture") == "head" and data.get("outputs") == "softmax":
                data = SOFTMAX_HEAD_RECIPE | data
            if data.get("architecture") in _RECIPES:
                data = _RECIPES[data["architecture"]] | data
            if data.get("teacher"):
                data = STUDENT_RECIPE | data
        return data

    @model_validator(mode="after")
    def _can_be_taught(self) -> "TrainSettings":
        if self.teacher and self.architecture == "head":
            raise ValueError("teacher is set, but a head has no teacher; set architecture to resnet, or remove teacher")
        return self

    @model_validator(mode="after")
    def _batch_can_be_shared(self) -> "TrainSettings":
        processes = self.devices * self.nodes
        if processes > self.batch_size:
            raise ValueError(
                f"devices {self.devices} on nodes {self.nodes} are {processes} processes, more than the {self.batch_size} windows of a "
                "batch; raise batch_size, or lower devices or nodes"
            )
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> "TrainSettings":
        if self.d_model % self.heads:
            raise ValueError(
                f"d_model {self.d_model} is not a multiple of heads {self.heads}; "
                f"set d_model to {self.heads * max(1, self.d_model // self.heads)}"
            )
        return self

    @model_validator(mode="after")
    def _background_fits(self) -> "TrainSettings":
        low, high = self.background_snr_db
        if low > high:
            raise ValueError(
                f"background_snr_db [{low:g}, {high:g}] has its larger value first; set it to [{high:g}, {low:g}]"
            )
        return self

    @model_validator(mode="after")
    def _weight_decay_fits(self) -> "TrainSettings":
        if self.architecture != "head" and (self.weight_decay == "auto" or self.weight_decay > 1):
            raise ValueError(
                f"weight_decay {self.weight_decay} needs architecture head; set weight_decay to a number from 0 to 1"
            )
        return self


class HeadSettings(Settings):
    """The keys of `train` that a head uses (stage `train_head`); descriptions and defaults are those of `TrainSettings`."""

    outputs: str = "independent"
    loss: str = "bce"
    negative_share: float = 0.5
    hidden: int = 0
    backbone_prior: float = 0.5
    seed: int = 4
    weight_decay: float | Literal["auto"] = "auto"
    label_smoothing: float = 0.02
    sampler: str = "recordings"


class TrainSectionSettings(TrainSettings):
    """Training. With `cnn_transformer`, the defaults are those of the project that Autobird reimplements."""

    seeds: tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...] = Field(
        (4, 5, 6),
        min_length=1,
        max_length=10,
        description="Seeds of the trainings of `snakemake crossval`: each fold of `dataset.folds` is trained once with each of them. "
        "The scores of a network depend on its seed; the report shows how much. The networks that "
        "`ensemble` combines have these seeds, too.",
    )

    profile: bool = Field(
        False,
        description="Whether `snakemake` also measures where the time of the training goes, with some steps of a training of its own, and "
        "writes it to the folder `model/profile` of the run; docs/training-speed.md explains the files. `snakemake profile` does so "
        "without this setting. Not for a `head`.",
    )

    @model_validator(mode="after")
    def _can_be_profiled(self) -> "TrainSectionSettings":
        if self.profile and self.architecture == "head":
            raise ValueError("profile is set, but a head is not trained in steps; remove profile")
        return self

    ensemble: Literal["none", "average", "distill"] = Field(
        "none",
        description="What is made of the networks with `seeds`, trained on the split of the run. `none`: nothing, the released network is "
        "the one with `seed`; `average`: all of them are released in one graph that averages their outputs, at the cost of all of them; "
        "`distill`: the released network, with `seed`, learns the answers of their average to the training windows; it was not better "
        "than a single network where it was measured (docs/ensembles.md).",
    )

    @model_validator(mode="after")
    def _unlabelled_fits(self) -> "TrainSectionSettings":
        if self.unlabelled is not None and not self.teacher:
            raise ValueError(
                f"unlabelled is {self.unlabelled}, but only a network with a teacher learns from recordings without labels; set teacher to "
                "the name of a backbone, or remove unlabelled"
            )
        return self

    @model_validator(mode="after")
    def _ensemble_fits(self) -> "TrainSectionSettings":
        if self.ensemble == "none":
            return self
        if self.seed not in self.seeds or len(self.seeds) < 2:
            raise ValueError(
                f"ensemble {self.ensemble} needs at least two seeds, and {self.seed} (train.seed) among them; seeds is "
                f"{list(self.seeds)}"
            )
        if self.architecture == "head" and self.ensemble == "distill":
            raise ValueError(
                "ensemble distill needs a network that is trained in steps, and a head is not; set ensemble to none, or architecture to "
                "resnet"
            )
        if self.architecture == "head" and not self.hidden:
            raise ValueError(
                f"ensemble {self.ensemble} does not help a head: without a hidden layer, heads with all seeds are nearly equal; set "
                "ensemble to none"
            )
        return self

    @model_validator(mode="after")
    def _seeds_differ(self) -> "TrainSectionSettings":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} contain a seed twice; remove one of them")
        return self
