"""What a stage's code is: a hash of every module it can reach, and the locked versions of what those import."""

import ast
import hashlib
import re
import sys
from functools import cache
from pathlib import Path

import grimp

from autobird.core.errors import AutobirdError

PACKAGE = "autobird"

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Import names whose distribution is called otherwise."""


class Fingerprints:
    """Fingerprints of the stages of the package at `source`, with the versions in `lock`.

    Comments, docstrings and formatting do not count. Modules named `settings` are left out: they hold
    declarations, whose resolved values travel in each rule's `params`.
    """

    def __init__(self, source: Path, lock: Path) -> None:
        self._source = source
        self._graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
        self._locked = locked_versions(lock)
        self._lock = lock
        self._hash = cache(self._hash_uncached)

    def of(self, module: str) -> str:
        """The fingerprint of a stage: 16 hexadecimal digits."""
        lines = [f"{name} {self._hash(name)}" for name in self.modules(module)]
        lines += [f"{name} {self._locked[name]}" for name in self.distributions(module)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def modules(self, module: str) -> list[str]:
        """The package's modules that run when `module` runs: its import closure and the packages around them."""
        reached = {m for m in self._closure(module) if m.split(".")[0] == PACKAGE}
        parents = {".".join(m.split(".")[:n]) for m in reached for n in range(1, m.count(".") + 1)}
        return sorted(m for m in reached | parents if m.split(".")[-1] != "settings")

    def distributions(self, module: str) -> list[str]:
        """The third-party distributions that the closure of `module` imports.

        Raises:
            AutobirdError: one of them is not in the lock file.
        """
        external = {m.split(".")[0] for m in self._closure(module)} - {PACKAGE} - sys.stdlib_module_names
        names = sorted(_DISTRIBUTIONS.get(m, m.replace("_", "-")) for m in external)
        missing = [n for n in names if n not in self._locked]
        if missing:
            raise AutobirdError(f"{self._lock} does not lock {missing[0]}, which {module} imports; run `make lock`")
        return names

    def _closure(self, module: str) -> set[str]:
        return self._graph.find_upstream_modules(module) | {module}

    def _hash_uncached(self, module: str) -> str:
        path = self._source.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return hashlib.sha256(normalised(file.read_text(encoding="utf-8")).encode()).hexdigest()


def normalised(code: str) -> str:
    """Source code without comments, docstrings and formatting.

    A docstring is dropped wherever a bare string stands as a statement, attribute docstrings included.
    """
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                kept = [s for s in block if not _is_docstring(s)]
                setattr(node, field, kept or ([ast.Pass()] if block else []))
    return ast.unparse(tree)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def locked_versions(lock: Path) -> dict[str, str]:
    """Distribution to version as locked; a distribution locked per platform keeps all its lines."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(.+)", line):
            found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), []).append(match[2].strip())
    return {name: " | ".join(sorted(lines)) for name, lines in found.items()}
