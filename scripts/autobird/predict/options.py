"""The options of the command `autobird predict`."""

from dataclasses import dataclass, field
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.bundle import Bundle
from autobird.predict.occurrence_filter import Location
from autobird.predict.origin import Places
from autobird.predict.output_names import FOLDERS, output_path
from autobird.predict.parquet import check_parquet
from autobird.predict.species_names import names_of, read_species_list


@dataclass(frozen=True)
class PredictOptions:
    """Options of the command.

    Attributes:
        formats: formats of `output_names.SUFFIXES`.
        is_exact: whether the only format is written to `output` itself; otherwise the names of the outputs are made of it
            (`output_names.output_path`).
        by_window: whether JSON includes every window.
        output: file to write, or base name of the files; None: standard output.
        workers: number of worker processes.
        max_seconds: longest accepted recording; None: no limit.
        time_limit: seconds that a file may take; None: see `predict_files`.
        backbone: file of the backbone; None: see `Classifier`.
        places: how site, recorder and time are determined.
        codes: table of species codes; None: the tables have no codes.
        threshold, precision: see `AnswerOptions`.
        species: list of the species to report; None: all.
        names: table of further names for `species`.
        location: where the recordings were made, for the column `occurrence`; None: without this column.
    """

    formats: tuple[str, ...] = ("table",)
    is_exact: bool = True
    by_window: bool = False
    output: Path | None = None
    workers: int = 1
    max_seconds: float | None = None
    time_limit: float | None = None
    backbone: Path | None = None
    places: Places = field(default_factory=Places)
    codes: Path | None = None
    threshold: float | None = None
    precision: float | None = None
    species: Path | None = None
    names: Path | None = None
    location: Location | None = None

    def answers(self, bundle: Bundle) -> AnswerOptions:
        """Return the changes of the thresholds of a bundle.

        Raises:
            AutobirdError: the list of species cannot be read, or names species that the bundle does not know.
        """
        species = None
        if self.species is not None:
            species = read_species_list(self.species, names_of(bundle.labels, self.names))
        return AnswerOptions(precision=self.precision, threshold=self.threshold, species=species)

    def check(self) -> None:
        """Check that the options fit together.

        Raises:
            AutobirdError: they do not.
        """
        if self.threshold is not None and self.precision is not None:
            raise AutobirdError("--threshold and --precision cannot be used together; leave out one of them")
        if self.names is not None and self.species is None:
            raise AutobirdError("--names needs --species: it gives other names of the species in the list")
        if self.by_window and "json" not in self.formats:
            raise AutobirdError("--windows needs --json: the probabilities of every window do not fit into a table")
        on_files = [form for form in self.formats if form == "parquet" or form in FOLDERS]
        if self.output is None and (on_files or len(self.formats) > 1):
            which = f"--format {on_files[0]} writes" if on_files else "several formats are written"
            raise AutobirdError(f"{which} to files; give --output with a folder or the base of their names")
        if "parquet" in self.formats:
            check_parquet()

    @property
    def paths(self) -> dict[str, Path]:
        """File or folder of each format, if there is an output.

        Raises:
            AutobirdError: a folder has the name of a file, or a file that of a folder.
        """
        if self.output is None:
            return {}
        if self.is_exact:
            return {self.formats[0]: self.output}
        return {form: output_path(self.output, form) for form in self.formats}
