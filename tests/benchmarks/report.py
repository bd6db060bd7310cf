"""Write the results of benchmarks to docs/speed.json and to the tables of docs/speed.md and docs/threads.md."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"


def machine(*packages: str) -> dict[str, Any]:
    """Return processor, number of cores, and versions of Python and of `packages`."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        cpu = re.search(r"model name\s*: (.*)", info.read_text()) or cpu  # type: ignore[assignment]
        cpu = cpu if isinstance(cpu, str) else cpu[1]
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "versions": _versions(packages)}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(
    section: str,
    data: Mapping[str, Any],
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    name: str = "speed.md",
) -> None:
    """Replace a section of docs/speed.json and the table between its markers in `docs/<name>`, and print the table.

    A table that the page has no markers for is only printed.
    """
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "\n".join("| " + " | ".join(str(c) for c in line) + " |" for line in lines)
    print(f"\n{section}\n{table}")
    page = DOCS / name
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        return
    page.write_text(pattern.sub(lambda _: f"{begin}\n{table}\n{end}", text), encoding="utf-8")
    path = DOCS / "speed.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(dict(sorted((kept | {section: data}).items())), indent=1) + "\n", encoding="utf-8")
