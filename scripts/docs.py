"""Generate config/README.md, config/schema.json and the diagram in README.md."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from autobird.config import json_schema, settings_reference  # noqa: E402

_INTRO = """# Configuration

`config.yaml` is the default run. A file given with `--configfile` overrides it key by key, and `--config` overrides both:

```
snakemake --configfile config/folder.yaml --config 'corpus={root: /my/birds}' 'train={epochs: 20}'
```

A setting that no file contains has the default below. The defaults are declared in the code
(`scripts/autobird/*/settings.py`), and `make docs` generates this page from them. A misspelt key, a wrong type or an
impossible value stops the run before any job. Editors can check the files against `schema.json`.

| file | run |
|---|---|
| `config.yaml` | the demo: synthesised recordings, the default network |
| `transfer.yaml` | your own recordings, one folder per species: a head on the embeddings of BirdNET; start with this one |
| `student.yaml` | the same recordings: a small network that needs no BirdNET in use, taught by such a head |
| `folder.yaml` | the same recordings: the default network, trained from scratch |
| `xeno_canto.yaml` | recordings from xeno-canto, listed by `snakemake refresh_sources` |
| `baseline.yaml` | the settings of the project that Autobird reimplements, on its Kaggle data set |
| `test.yaml` | a tiny run for the tests |

`sweep.yaml` is no configuration but the file of `snakemake sweep` ([docs/sweep.md](../docs/sweep.md)).

"""


def diagram() -> str:
    """Return the graph of the rules as Mermaid text, as Snakemake computes it."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    nodes = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", done.stdout, re.M))
    edges = sorted((nodes[a], nodes[b]) for a, b in re.findall(r"^\s*(id\d+) --> (id\d+)", done.stdout, re.M))
    return "\n".join(["```mermaid", "flowchart LR", *(f"    {a} --> {b}" for a, b in edges), "```"])


def with_diagram(text: str, graph: str) -> str:
    """Return README.md with the diagram between its markers."""
    return re.sub(r"(?s)(<!-- rulegraph -->\n).*?(\n<!-- /rulegraph -->)", lambda m: m[1] + graph + m[2], text)


def pages() -> dict[Path, str]:
    """Return the text of every generated page by its path."""
    readme = ROOT / "README.md"
    return {
        ROOT / "config" / "README.md": _INTRO + settings_reference(),
        ROOT / "config" / "schema.json": json_schema(),
        readme: with_diagram(readme.read_text(encoding="utf-8"), diagram()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
