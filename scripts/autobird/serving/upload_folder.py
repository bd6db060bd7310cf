"""The folder for large uploads while they arrive and are classified."""

from pathlib import Path

from autobird.serving.services import Services


def upload_folder(services: Services) -> Path | None:
    """Return the folder for large uploads, without those of a server that was killed; None: the system's.

    Call it before the server takes requests.
    """
    if services.jobs is None or services.settings.state is None:
        return None
    folder = Path(services.settings.state) / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("upload-*"):  # the jobs lock the folder of the state, so no other server uses it
        leftover.unlink(missing_ok=True)
    return folder
