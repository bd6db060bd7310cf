"""Reduce Python source code to the parts that affect results, for code fingerprints."""

import ast
import copy
from collections.abc import Set


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Remove string statements from a tree, in place: docstrings of modules, classes, functions and attributes."""
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                kept = [s for s in block if not _is_docstring(s)]
                setattr(node, field, kept or ([ast.Pass()] if block else []))
    return tree


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


_FIELD_DECORATORS = {
    "field_serializer", "field_validator", "model_serializer", "model_validator", "root_validator", "validator",
}  # fmt: skip
"""Decorators of pydantic that only affect field values, which the code fingerprint does not need."""


def result_affecting_code(tree: ast.Module, used: Set[str]) -> ast.Module:
    """Return the part of a settings module that can change results although the resolved field values are equal.

    These are the properties and other methods of its classes, the functions and constants that other modules import
    from it (`used`; all for `*`), and the names that these refer to. Left out are fields with their defaults, bounds
    and descriptions, base classes (they contribute fields), validators, serialisers, `model_config`, and names that
    only these refer to.
    """
    statements: list[ast.stmt] = []
    owners: dict[str, list[int]] = {}
    roots: list[int] = []
    for node in tree.body:
        parts: list[ast.stmt] = [node]
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts = [_with_names(node, alias) for alias in node.names]
        elif isinstance(node, ast.ClassDef):
            parts = _reduced(node)
        for part in parts:
            names = _bound(part)
            for name in names:
                owners.setdefault(name, []).append(len(statements))
            declares = isinstance(part, ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.AsyncFunctionDef)
            taken = not names.isdisjoint(used) or (declares and "*" in used)
            if isinstance(part, ast.ClassDef) or not names or (declares and taken):
                roots.append(len(statements))
            statements.append(part)
    kept: set[int] = set()
    while roots:
        number = roots.pop()
        if number not in kept:
            kept.add(number)
            referred = {n.id for n in ast.walk(statements[number]) if isinstance(n, ast.Name)}
            roots += [i for name in referred for i in owners.get(name, [])]
    return ast.Module([statements[i] for i in sorted(kept)], [])


def _reduced(node: ast.ClassDef) -> list[ast.stmt]:
    """Return a settings class with only its methods, properties and class variables; an empty list if it has none."""
    small = copy.copy(node)
    small.bases, small.keywords = [], []
    small.body = [item for item in node.body if not _is_declaration(item)]
    return [small] if small.body else []


def _is_declaration(item: ast.stmt) -> bool:
    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
        return not item.target.id.startswith("_") and "ClassVar" not in ast.unparse(item.annotation)
    if isinstance(item, ast.FunctionDef):
        decorators = {ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in item.decorator_list}
        return any(name.split(".")[-1] in _FIELD_DECORATORS for name in decorators)
    if isinstance(item, ast.Assign):
        return [ast.unparse(t) for t in item.targets] == ["model_config"]
    return isinstance(item, ast.Pass)


def _with_names(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> ast.stmt:
    """Return the import statement of one of its names."""
    return ast.Import([alias]) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, [alias], node.level)


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return set()
