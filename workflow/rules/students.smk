"""What rules need for students: unlabelled recordings, training sounds, and the members beside a student. Contains no rules."""


def list_unlabelled():
    """List the unlabelled recordings and store the manifests of their batches; None without a folder."""
    if CONFIG.train.unlabelled is None or not workflow.is_main_process:
        return None
    try:
        root = Path(CONFIG.train.unlabelled).expanduser()
        found = UnlabelledRecordings(root, HASHES, len(BATCHES), CONFIG.corpus)
        print_notes(found.notes)
        found.manifests.store(UNLABELLED_TABLES)
        return found
    except AutobirdError as error:
        exit_with_error(error)


UNLABELLED = list_unlabelled()


def unlabelled_digest(wildcards):
    """sha256 of the manifest of a batch of unlabelled recordings."""
    return UNLABELLED.manifests.digest(wildcards.batch) if UNLABELLED else ""


def unlabelled_audio(wildcards):
    """The tar archive of a batch of unlabelled recordings; empty if jobs can read their folder."""
    return [] if SHARED else TEACHING / f"unlabelled/{wildcards.batch}.tar"


# Training sounds are single windows: the hop does not change them.
TEACH_FRONT_END = CONFIG.features.model_copy(
    update={"hop": CONFIG.features.window}
).model_dump_json(include=set(MelSettings.model_fields))


def teach_settings(share):
    """The settings of stage `teach` as JSON, with the number of training sounds of a batch.

    It does not depend on the recordings: a new recording makes only the sounds of its own batch again.
    """
    sounds = -(-int(CONFIG.train.teacher_windows * share) // len(BATCHES))
    return json.dumps({"sounds": sounds})


def is_student(wildcards):
    """Whether a job's member has a teacher; a job without the wildcard is of the main run."""
    return MEMBERS[wildcards.get("member", "")].config.train.teacher is not None


def training_sounds(suffix):
    """Files of the training sounds of all batches, for a student; those of unlabelled recordings are the last."""

    def files(wildcards):
        if not is_student(wildcards):
            return []
        found = every_batch(TEACHING / f"{{batch}}{suffix}")
        if CONFIG.train.unlabelled is not None:
            found += every_batch(TEACHING / f"unlabelled/{{batch}}{suffix}")
        return found

    return files


def unlabelled_batches(wildcards):
    """How many of the files of training_sounds() are of unlabelled recordings."""
    used = is_student(wildcards) and CONFIG.train.unlabelled is not None
    return len(BATCHES) if used else 0


def beside_student(id_of, file):
    """A file of the member that belongs to a student: its teacher (`teacher_id`), or the network without one (`scratch_id`)."""

    def path(wildcards):
        if not is_student(wildcards):
            return []
        member = MEMBERS[wildcards.get("member", "")].id
        return RUN / f"members/{id_of(member)}/{file}"

    return path


def references(file):
    """Files of the teacher and the network without a teacher that a student of the main run is compared with."""

    def files(wildcards):
        if wildcards.member or not is_student(wildcards):
            return []
        return [RUN / f"members/{name}/{file}" for name in (TEACHER, SCRATCH)]

    return files


def teacher_key(wildcards):
    """What identifies the backbone of a student's teacher, as JSON; empty without a teacher."""
    return backbone_key(wildcards) if is_student(wildcards) else ""
