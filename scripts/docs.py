"""Write what is generated in the documentation: config/README.md, config/schema.json, the diagram in README.md."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from autobird.config import reference, schema  # noqa: E402

_INTRO = """# Configuration

`config.yaml` is the default run. Another file goes over it, key by key, and `--config` over both:

```
snakemake --configfile config/folder.yaml --config 'corpus={root: /my/birds}' 'train={epochs: 20}'
```

A key that is set nowhere has the default below; defaults live in the code beside what they configure
(`scripts/autobird/*/settings.py`), and this page is made from them by `make docs`. A misspelt key, a wrong type or an
impossible value stops the run before any job. Editors check the files against `schema.json`.

| file | run |
|---|---|
| `config.yaml` | the embedded corpus of synthesised birds, the default network |
| `folder.yaml` | your own recordings, one folder a species |
| `xeno_canto.yaml` | recordings of xeno-canto, listed by `snakemake refresh_sources` |
| `baseline.yaml` | the settings of the project that Autobird reimplements, on its Kaggle data set |
| `test.yaml` | tiny, for the tests |

"""


def diagram() -> str:
    """The graph of rules as Mermaid, from the DAG itself."""
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
    """README.md with the diagram between its markers."""
    return re.sub(r"(?s)(<!-- rulegraph -->\n).*?(\n<!-- /rulegraph -->)", lambda m: m[1] + graph + m[2], text)


def pages() -> dict[Path, str]:
    """Every generated page."""
    readme = ROOT / "README.md"
    return {
        ROOT / "config" / "README.md": _INTRO + reference(),
        ROOT / "config" / "schema.json": schema(),
        readme: with_diagram(readme.read_text(encoding="utf-8"), diagram()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
