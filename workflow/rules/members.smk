"""What rules need to know about the members of the run: their settings, and paths of their files. Contains no rules."""


def config_of(wildcards):
    """The configuration of a job's member."""
    return MEMBERS[wildcards.member].config


def member_settings(model, *sections):
    """The settings of a stage for a job's member, as JSON; for the arguments see Config.settings_json()."""
    return lambda wildcards: config_of(wildcards).settings_json(model, *sections)


def dataset_settings(wildcards):
    """The settings of the stage `dataset`; without a fold, another number of folds must not repeat it."""
    config = config_of(wildcards)
    dataset = config.dataset
    if dataset.fold is None:
        unused = {"folds": type(dataset).model_fields["folds"].default}
        config = config.model_copy(
            update={"dataset": dataset.model_copy(update=unused)}
        )
    return config.settings_json(DatasetStageSettings, "dataset", "features", "corpus")


def member_id(wildcards):
    """The id of a job's member; None for the main run. The report shows it as the subcategory."""
    return MEMBERS[wildcards.member].id or None


def category(name):
    """The category of an output in the report: `name` for the main run; the other members have one of their own."""
    return lambda wildcards: "Members" if wildcards.member else name


def dataset_file(name):
    """A file of the dataset that a job's member uses, which may be that of another member."""
    return (
        lambda wildcards: RUN
        / MEMBERS[wildcards.member].dataset_prefix
        / "dataset"
        / name
    )


def is_head(wildcards):
    """Whether a job's member is a head on the embeddings of a backbone; a job without the wildcard is of the main run."""
    return MEMBERS[wildcards.get("member", "")].config.train.architecture == "head"


def trained_in_steps(path):
    """A path, if the main run is trained in steps; refuses a head before any job starts."""

    def of_steps(wildcards):
        if is_head(wildcards):
            exit_with_error(
                "train.architecture is head, and a head is not trained in steps: there is nothing to profile"
            )
        return path

    return of_steps


def every_variant(pattern):
    """Paths of all variants of a job's member. Only the main run is compressed, because only it is released; heads never are."""

    def variants(wildcards):
        if wildcards.get("member") or is_head(wildcards):
            return ["float"]
        # An ensemble is not pruned: the fine-tuning trains one network.
        return ["float", "int8"] if MEMBERS[""].ensemble else VARIANTS

    return lambda wildcards: expand(
        f"{RUN}/{wildcards.get('member', '')}{pattern}", variant=variants(wildcards)
    )


def network_inputs(wildcards):
    """What the network of a job's member reads, of all batches: mel frames, or embeddings for a head."""
    folder = EMBEDDINGS if is_head(wildcards) else FEATURES / "mels"
    return every_batch(folder / "{batch}.npy")


def refuse_given_splits():
    """Exit if the metadata give the split of recordings, which no fold can change."""
    if LISTING and LISTING.given_splits:
        exit_with_error(
            f"the metadata, or the settings of a source, give the split of {LISTING.given_splits} recordings, which would be the same in "
            "all folds of a cross-validation; remove that column from the metadata, or split from corpus.sources"
        )


def network_of(member):
    """Name of the graph of the single network of a member, by its id: its file float.onnx can be an ensemble with it."""
    return "network" if MEMBERS[prefix_of(member)].ensemble else "float"


def model_file(wildcards):
    """The model.json of a job's member; an ensemble that is no network itself has that of its first network."""
    member = MEMBERS[wildcards.get("member", "")]
    own = not member.ensemble or member.id in member.ensemble
    return (
        RUN / prefix_of(member.id if own else member.ensemble[0]) / "model/model.json"
    )


def of_ensemble(pattern):
    """A file of each network of the ensemble that a job's member is; `{network}` is the name of its graph."""
    return lambda wildcards: [
        RUN / prefix_of(name) / pattern.format(network=network_of(name))
        for name in MEMBERS[wildcards.member].ensemble
    ]


def teaching_ensemble(wildcards):
    """The answers of the ensemble that teaches a job's member, or without the wildcard the main run; nothing without one."""
    taught_by = MEMBERS[wildcards.get("member", "")].taught_by
    return RUN / prefix_of(taught_by) / "release/answers.parquet" if taught_by else []


def crossval_targets(wildcards):
    """The files that `snakemake crossval` writes; refuses, before any job starts, what cannot be cross-validated."""
    count = len(crossval_ids(CONFIG))
    if count > MAX_CROSSVAL_MEMBERS:
        exit_with_error(
            f"dataset.folds {CONFIG.dataset.folds} and {len(CONFIG.train.seeds)} train.seeds are {count} trainings, and at most "
            f"{MAX_CROSSVAL_MEMBERS} are supported; lower dataset.folds or give fewer train.seeds"
        )
    refuse_given_splits()
    references = [RUN / "crossval/references.json"] if CONFIG.train.teacher else []
    if CONFIG.train.ensemble != "none":
        references.append(RUN / "crossval/ensemble/crossval.json")
    return [
        RUN / "crossval/crossval.json",
        *references,
        *expand(
            str(RUN / "members/{member}/evaluation/metrics.json"),
            member=crossval_ids(CONFIG),
        ),
    ]


def sweep_targets(wildcards):
    """The files that `snakemake sweep` writes; refuses, before any job starts, a sweep that is not valid or too large."""
    if SWEEP is None:
        exit_with_error(SWEEP_ERROR)
    if SWEEP.most_trainings > MAX_SWEEP_TRAININGS:
        exit_with_error(
            f"{CONFIG.sweep.file} has {len(SWEEP.trials)} trials (with the settings of the run), with seeds and folds "
            f"{SWEEP.most_trainings} trainings, and at most {MAX_SWEEP_TRAININGS} are supported; lower run_cap or the number of values, "
            f"or {'lower' if CONFIG.sweep.keep else 'set'} sweep.keep"
        )
    if CONFIG.sweep.validate_on == "folds":
        refuse_given_splits()
    tracked = [RUN / "sweep/tracked.json"] if CONFIG.run.tracking != "none" else []
    return [RUN / "sweep/sweep.json", *tracked]


def analyses_of(folder):
    """The analyses of a run with a backbone, as files of one of its folders; other runs have none."""
    names = ["possibly_heard"] if CONFIG.uses_backbone else []
    if (
        CONFIG.uses_backbone and CONFIG.backbone.name == BIRDNET
    ):  # the only one with a species list of its own
        names.append("with_backbone")
    if CONFIG.train.architecture == "head":
        names.append("learning_curve")
    found = [RUN / folder / f"{name}.json" for name in names]
    if folder == "evaluation" and CONFIG.train.ensemble != "none":
        member = "" if CONFIG.train.ensemble == "average" else prefix_of(ENSEMBLE)
        found.append(RUN / member / "release/ensemble.json")
    return found


def of_folds(pattern):
    """A file of each fold of a cross-validation, of the training with the first seed."""
    seed = CONFIG.train.seeds[0]
    return [
        RUN / f"members/{crossval_id(fold, seed)}" / pattern
        for fold in range(CONFIG.dataset.folds)
    ]


def datasets_of_folds(name):
    """A file of the dataset of each fold of a cross-validation."""
    return [RUN / f"members/{fold}/dataset/{name}" for fold in fold_ids(CONFIG)]


def crossval_files(file, id_of=str):
    """A file of the networks of a cross-validation, or of the member that `id_of` gives for each of them."""
    return [RUN / f"members/{id_of(name)}/{file}" for name in crossval_ids(CONFIG)]


def teachers_of_folds(file):
    """A file of the teachers of the students of a cross-validation, one for each fold."""
    return [RUN / f"members/{teacher_id(fold)}/{file}" for fold in fold_ids(CONFIG)]


def sweep_trials(rung):
    """The trials of a rung, that with the settings of the run first; those of later rungs are known when the one before is done."""
    if rung == 1:
        return [trial.id for trial in SWEEP.trials]
    before = checkpoints.sweep_rung.get(rung=rung - 1).output[0]
    # In a bucket, the file may not be on this machine yet.
    if not Path(before).exists() and before.is_storage:
        before.storage_object.retrieve_object()
    survivors = set(json.loads(Path(before).read_text())["survivors"])
    return [trial.id for trial in SWEEP.trials if trial.id in survivors]


def sweep_trainings(rung):
    """Fold and member of the trainings of a rung, those of the first trial first."""
    return [
        (fold, member)
        for trial in sweep_trials(rung)
        for fold, _, member in SWEEP.trainings(trial, rung)
    ]


def sweep_predictions(wildcards):
    """The logits of the trainings of a rung."""
    return [
        RUN / f"{prefix_of(member)}release/scores/{network_of(member)}.parquet"
        for _, member in sweep_trainings(int(wildcards.rung))
    ]


def sweep_labels(wildcards):
    """The species of the networks of a rung."""
    return [
        RUN / MEMBERS[prefix_of(member)].dataset_prefix / "dataset/labels.json"
        for _, member in sweep_trainings(int(wildcards.rung))
    ]


def sweep_keep(wildcards):
    """The share of the trials that reach the next rung, as an option; nothing on the last rung."""
    last = int(wildcards.rung) == len(SWEEP.rungs)
    return "" if last else f"--keep {CONFIG.sweep.keep}"
