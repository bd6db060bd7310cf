"""The files that the images are built from: the build itself is tested by `make test-image`."""

import subprocess
from pathlib import PurePosixPath

import pytest

from tests.conftest import ROOT

DOCKERFILES = sorted(ROOT.glob("envs/Dockerfile*"))


def copied_files(text: str) -> list[str]:
    """Return the files and folders of the repository that a Dockerfile copies."""
    found = []
    for line in text.splitlines():
        word, *arguments = line.split() or [""]
        if word in ("COPY", "ADD") and not any(argument.startswith("--from=") for argument in arguments):
            found += [argument for argument in arguments if not argument.startswith("--")][:-1]
    return found


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_each_file_that_an_image_copies_is_in_the_repository_and_not_ignored(file: PurePosixPath) -> None:
    kept = [
        PurePosixPath(line.removeprefix("!"))
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = copied_files((ROOT / file).read_text())
    assert copied
    for name in copied:
        path = PurePosixPath(name)
        assert any(path == one or one in path.parents for one in kept), f"{name} is not in .dockerignore"
        assert (ROOT / name).exists()
    if (ROOT / ".git").exists():
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", *copied], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert tracked.returncode == 0, tracked.stderr
