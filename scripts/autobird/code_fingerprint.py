"""Fingerprints of the code of stages, which decide whether Snakemake runs a stage again."""

import ast
import contextlib
import hashlib
import os
import re
import sys
from collections import defaultdict
from functools import cache, cached_property
from pathlib import Path

import grimp

import autobird
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.core.python_code import result_affecting_code, without_docstrings

PACKAGE = "autobird"

_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Import names that differ from the name of their distribution."""


class CodeFingerprints:
    """Computes the fingerprints of stages.

    The fingerprint of a stage is a hash of the code of every module that it imports, directly or indirectly, and of
    the locked versions of the third-party distributions that these modules import. Comments, docstrings and formatting
    are ignored. Of a module named `settings`, only the parts that compute something count (`result_affecting_code`), because the
    values of the settings are passed in the `params` of each rule.
    """

    def __init__(self, source: Path, lock: Path, stored: Path | None = None) -> None:
        """Read the versions of the distributions.

        Args:
            source: the folder that contains the package.
            lock: lock file with the versions of the distributions.
            stored: file in which `store` keeps the fingerprints for the next start of Snakemake, because computing them takes seconds.
                They are used as long as the files of the package, the lock file, and the versions of Python and grimp are unchanged.
                It need not exist.
        """
        self._source, self._lock, self._stored = source, lock, stored
        self._code = self._digest_of_code() if stored is not None else None
        self._known = self._read_stored()
        self._locked_versions = locked_versions(lock)
        # Snakemake asks for about 50 stages whenever it reads the workflow, and most modules are in most of them.
        self._tree, self._digest = cache(self._tree_uncached), cache(self._digest_uncached)
        self._imports = cache(self._imports_uncached)

    @cached_property
    def _graph(self) -> grimp.ImportGraph:
        return grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)

    def of(self, module: str) -> str:
        """Return the fingerprint of a stage: 16 hexadecimal digits."""
        if module not in self._known:
            self._known[module] = self._computed(module)
        return self._known[module]

    def store(self) -> None:
        """Write the fingerprints for the next start, unless the code changed since this one began; where nothing can be written, none."""
        if self._stored is None or self._code is None or self._known == self._read_stored():
            return
        if self._code == self._digest_of_code():
            with contextlib.suppress(OSError):
                write_json(self._stored, {"code": self._code, "fingerprints": self._known})

    def _read_stored(self) -> dict[str, str]:
        """Return the stored fingerprints by stage; none if they are of other code, or the file is damaged."""
        if self._stored is None or self._code is None:
            return {}
        try:
            stored = read_json(self._stored)
            if stored["code"] == self._code and all(
                re.fullmatch("[0-9a-f]{16}", v) for v in stored["fingerprints"].values()
            ):
                return dict(stored["fingerprints"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        return {}

    def _digest_of_code(self) -> str | None:
        """Return a digest of what the fingerprints are computed from; None if it cannot be read, or if Python imports another copy of the
        package, from which the import graph would be built.
        """
        if Path(autobird.__file__).resolve().parent != (self._source / PACKAGE).resolve():
            return None
        digest = hashlib.sha256(f"{sys.version} {grimp.__version__}\n".encode())
        try:
            files = [
                Path(folder, name)
                for folder, _, names in os.walk(self._source / PACKAGE, followlinks=True)
                for name in names
                if name.endswith(".py") and not name.startswith(".")
            ]
            for file in [*sorted(files), self._lock]:
                data = file.read_bytes()
                digest.update(f"{os.path.relpath(file, self._source)} {len(data)}\n".encode())
                digest.update(data)
        except OSError:
            return None
        return digest.hexdigest()

    def _computed(self, module: str) -> str:
        """Return the fingerprint of a stage, computed from the code."""
        lines = [f"{name} {digest}" for name, digest in self._digests(module).items()]
        lines += [f"{name} {self._locked_versions[name]}" for name in self.distributions(module)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def modules(self, module: str) -> list[str]:
        """Return the package's modules whose code counts for `module`: all that it imports, and their parent packages.

        A module named `settings` is among them only if it contains code that computes something.
        """
        return list(self._digests(module))

    def distributions(self, module: str) -> list[str]:
        """Return the third-party distributions that `module` and all modules that it reaches import.

        Raises:
            AutobirdError: one of them is not in the lock file.
        """
        external = {m.split(".")[0] for m in self._closure(module)} - {PACKAGE} - sys.stdlib_module_names
        names = sorted(_DISTRIBUTIONS.get(m, m.replace("_", "-")) for m in external)
        missing = [name for name in names if name not in self._locked_versions]
        if missing:
            raise AutobirdError(f"{self._lock} does not lock {missing[0]}, which {module} imports; run `make lock`")
        return names

    def _closure(self, module: str) -> set[str]:
        """Return a module and all modules that it imports, directly or indirectly."""
        return self._graph.find_upstream_modules(module) | {module}

    def _tree_uncached(self, module: str) -> ast.Module:
        path = self._source.joinpath(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        return without_docstrings(ast.parse(file.read_text(encoding="utf-8")))

    def _digests(self, module: str) -> dict[str, str]:
        """Return a digest per module whose code counts for `module`, by name of the module."""
        reached = frozenset(m for m in self._closure(module) if m.split(".")[0] == PACKAGE)
        parents = {".".join(m.split(".")[:n]) for m in reached for n in range(1, m.count(".") + 1)}
        digests = {}
        for name in sorted(reached | parents):
            used = frozenset(self._used_names(name, reached)) if _is_settings(name) else None
            if digest := self._digest(name, used):
                digests[name] = digest
        return digests

    def _digest_uncached(self, module: str, used: frozenset[str] | None) -> str:
        """Return the sha256 of the code of a module that counts; "" for settings without any.

        Args:
            module: its name.
            used: for a module of settings, the names that other modules import from it (see `result_affecting_code`); else None.
        """
        code = ast.unparse(self._counting_tree(module, used))
        return hashlib.sha256(code.encode()).hexdigest() if code or used is None else ""

    def _imports_uncached(self, module: str, used: frozenset[str] | None) -> dict[str, set[str]]:
        """Return the names that the code of a module that counts imports from each module; see `_digest_uncached`."""
        return _imported_names(self._counting_tree(module, used))

    def _counting_tree(self, module: str, used: frozenset[str] | None) -> ast.Module:
        """Return the code of a module that counts; see `_digest_uncached`."""
        tree = self._tree(module)
        return tree if used is None else result_affecting_code(tree, used)

    def _used_names(self, module: str, reached: frozenset[str]) -> set[str]:
        """Return the names that the modules in `reached` import from a module of settings.

        An import by another module of settings counts only if that module computes something with the name.
        """
        used: set[str] = set()
        for importer in self._graph.find_modules_that_directly_import(module) & reached:
            of_importer = frozenset(self._used_names(importer, reached)) if _is_settings(importer) else None
            used |= self._imports(importer, of_importer).get(module, set())
        return used


def _is_settings(module: str) -> bool:
    return module.split(".")[-1] == "settings"


def _imported_names(tree: ast.AST) -> dict[str, set[str]]:
    """Return the names that `tree` imports from each module; `*` for a module that it imports as a whole."""
    names: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[node.module].add(alias.name)
                names[f"{node.module}.{alias.name}"].add("*")  # if the name is that of a module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.name].add("*")
    return dict(names)


def locked_versions(lock: Path) -> dict[str, str]:
    """Return the locked version of each distribution. Versions that depend on the platform are all included."""
    versions: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(.+)", line):
            versions.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), []).append(match[2].strip())
    return {name: " | ".join(sorted(lines)) for name, lines in versions.items()}
