"""What a stage's code is: a hash of every module it can reach, and the locked versions of what those import."""

import ast
import hashlib
import re
import sys
from functools import cache
from pathlib import Path

import grimp

from autobird.core.errors import AutobirdError
from autobird.core.python_code import result_affecting_code, without_docstrings

PACKAGE = "autobird"

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Import names whose distribution is called otherwise."""


class CodeFingerprints:
    """CodeFingerprints of the stages of the package at `source`, with the versions in `lock`.

    Comments, docstrings and formatting do not count. Of a module named `settings` only what computes counts
    (`result_affecting_code`): the resolved values of its fields travel in each rule's `params`.
    """

    def __init__(self, source: Path, lock: Path) -> None:
        self._source = source
        self._graph = grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
        self._locked = locked_versions(lock)
        self._lock = lock
        self._tree, self._digest = cache(self._tree_uncached), cache(self._digest_uncached)

    def of(self, module: str) -> str:
        """The fingerprint of a stage: 16 hexadecimal digits."""
        lines = [f"{name} {digest}" for name, digest in self._digests(module).items()]
        lines += [f"{name} {self._locked[name]}" for name in self.distributions(module)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def modules(self, module: str) -> list[str]:
        """The package's modules that run when `module` runs: its import closure and the packages around them.

        A module named `settings` is among them if something in it computes.
        """
        return list(self._digests(module))

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

    def _tree_uncached(self, module: str) -> ast.Module:
        path = self._source.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return without_docstrings(ast.parse(file.read_text(encoding="utf-8")))

    def _digests(self, module: str) -> dict[str, str]:
        """Digest of what counts of each module that runs when `module` runs, by name."""
        reached = frozenset(m for m in self._closure(module) if m.split(".")[0] == PACKAGE)
        parents = {".".join(m.split(".")[:n]) for m in reached for n in range(1, m.count(".") + 1)}
        found = {}
        for name in sorted(reached | parents):
            used = frozenset(self._used(name, reached)) if _is_settings(name) else None
            if digest := self._digest(name, used):
                found[name] = digest
        return found

    def _digest_uncached(self, module: str, used: frozenset[str] | None) -> str:
        """sha256 of what counts of a module; "" for settings that compute nothing. `used`: see `result_affecting_code`."""
        tree = self._tree(module)
        code = ast.unparse(tree if used is None else result_affecting_code(tree, used))
        return hashlib.sha256(code.encode()).hexdigest() if code or used is None else ""

    def _used(self, module: str, reached: frozenset[str]) -> set[str]:
        """Names that the modules in `reached` take from a module of settings.

        What another module of settings takes counts only where something computes with it.
        """
        used: set[str] = set()
        for importer in self._graph.find_modules_that_directly_import(module) & reached:
            tree = self._tree(importer)
            if _is_settings(importer):
                tree = result_affecting_code(tree, self._used(importer, reached))
            used |= _imported(tree, module)
        return used


def _is_settings(module: str) -> bool:
    return module.split(".")[-1] == "settings"


def _imported(tree: ast.AST, module: str) -> set[str]:
    """The names that `tree` imports from `module`; `*` if it imports the module as a whole."""
    package, _, name = module.rpartition(".")
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {"*" for alias in node.names if alias.name == name}
        elif isinstance(node, ast.Import):
            found |= {"*" for alias in node.names if alias.name == module}
    return found


def locked_versions(lock: Path) -> dict[str, str]:
    """Distribution to version as locked; a distribution locked per platform keeps all its lines."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(.+)", line):
            found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), []).append(match[2].strip())
    return {name: " | ".join(sorted(lines)) for name, lines in found.items()}
