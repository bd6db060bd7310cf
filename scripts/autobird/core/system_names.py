"""Names of files and folders that systems and programs write beside the files of their users."""

import re

_NAMES = frozenset(
    {
        # Windows
        "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.htt", "autorun.inf",
        "$recycle.bin", "recycler", "recycled", "system volume information", "$extend", "$winreagent", "config.msi",
        "msdownld.tmp", "pagefile.sys", "hiberfil.sys", "swapfile.sys", "dumpstack.log.tmp", "wpsettings.dat", "indexervolumeguid",
        # macOS and its file servers
        "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",
        # Linux, Android
        "lost+found", "lost.dir",
        # network storage: Synology, QNAP, NetApp, others
        "@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin", "@recycle", "@recently-snapshot", "@snapshot", "~snapshot",
        "$recycle", "_recycle_",
        # programs
        "__pycache__",
    }
)  # fmt: skip
"""Names of files and folders in lower case."""

_PATTERNS = re.compile(
    r"found\.\d{3}"  # fragments that chkdsk recovers
    r"|~\$.+"  # lock file of an open document of Microsoft Office
    r"|.+(?::|\uf03a)zone\.identifier"  # Windows' mark of a downloaded file, as a file of its own
    r"|.+@syno(?:eastream|resource)",  # attributes of a file on a Synology
    re.DOTALL,
)

NAMES_OF_EXTENSIONS = frozenset(
    (".mp3", ".wav", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma", ".mp4", ".3gp", ".webm")
)
"""Whole names of recordings whose name was lost: no system writes files with these names."""


def is_system_name(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or written by a system or program for itself.

    Hidden names begin with a dot, but a file that is named `.mp3` is a recording without a name.
    """
    lower = name.lower()
    if name.startswith("."):
        return lower not in NAMES_OF_EXTENSIONS
    return lower in _NAMES or _PATTERNS.fullmatch(lower) is not None
