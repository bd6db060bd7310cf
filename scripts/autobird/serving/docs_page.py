"""The page /docs: the OpenAPI document and the kinds of problems as HTML, without scripts."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from autobird.serving.problems import KINDS, slug


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        document: an OpenAPI document, see `openapi.openapi_document`.
    """
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    paths, schemas = document["paths"], document["components"]["schemas"]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<title>Autobird: API</title>\n<link rel="icon" href="/static/icon.svg">'
    yield '<link rel="stylesheet" href="/static/docs.css">\n</head>\n<body>\n<main>'
    yield f"<h1>API of Autobird</h1>\n<p>{_text(document['info']['description'])}</p>"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a>. <a href="/">Page of the server</a>.</p>'
    yield "<pre>curl --data-binary @recording.wav 'http://localhost:8000/v1/predict?format=csv'</pre>"
    yield "<nav><h2>Contents</h2><ul>"
    for path, methods in paths.items():
        for method, operation in methods.items():
            name = f"<code>{method.upper()} {escape(path)}</code>"
            yield f'<li><a href="#{_anchor(method, path)}">{name}</a> {_text(operation["summary"])}</li>'
    yield '<li><a href="#schemas">Formats of answers</a></li><li><a href="#problems">Problems</a></li></ul></nav>'
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield from _operation(method, path, operation)
    yield '<h2 id="schemas">Formats of answers</h2>'
    for name, value in schemas.items():
        yield f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{_text(value.get('description', ''))}</p>"
        yield from _properties(value)
        yield "</section>"
    yield '<h2 id="problems">Problems</h2>\n<dl>'
    for title, text in KINDS.items():
        yield f'<dt id="{slug(title)}">{escape(title)}</dt><dd>{_text(text)}</dd>'
    yield "</dl>\n</main>\n</body>\n</html>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{_anchor(method, path)}"><h2><code>{method.upper()} {escape(path)}</code></h2>'
    yield f"<p>{_text(operation['summary'])}. {_text(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        yield "<h3>Parameters</h3><table><tr><th>name</th><th>in</th><th>values</th><th>meaning</th></tr>"
        for p in parameters:
            cells = (
                f"<code>{escape(p['name'])}</code>",
                escape(p["in"]),
                _kind(p["schema"]),
                _text(p.get("description", "")),
            )
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        yield "</table>"
    if body := operation.get("requestBody"):
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in body["content"])
        yield f"<h3>Body</h3><p>{kinds}: {_text(body.get('description', ''))}</p>"
    yield "<h3>Responses</h3><table><tr><th>status</th><th>content</th><th>meaning</th></tr>"
    for status, response in operation["responses"].items():
        content = ", ".join(
            f"<code>{escape(kind)}</code> {_kind(value['schema'])}"
            for kind, value in response.get("content", {}).items()
        )
        yield f"<tr><td>{escape(status)}</td><td>{content}</td><td>{_text(response['description'])}</td></tr>"
    yield "</table></section>"


def _properties(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a table of the properties of an object, with those of objects within it."""
    rows = list(_rows(value, prefix))
    if rows:
        yield "<table><tr><th>name</th><th>value</th><th>meaning</th></tr>"
        yield from rows
        yield "</table>"


def _rows(value: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, item in value.get("properties", {}).items():
        full = f"{prefix}{name}"
        yield f"<tr><td><code>{escape(full)}</code></td><td>{_kind(item)}</td><td>{_text(item.get('description', ''))}</td></tr>"
        inner = item.get("items", item)
        if "$ref" not in inner:
            yield from _rows(inner, f"{full}[]." if inner is not item else f"{full}.")


def _kind(value: Mapping[str, Any]) -> str:
    """Describe the values of a schema in a few words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(_kind(item) for item in value[key])
    if "const" in value:
        return f"<code>{escape(str(value['const']))}</code>"
    if "enum" in value:
        return ", ".join(f"<code>{escape(str(item))}</code>" for item in value["enum"])
    kinds = value.get("type", "any value")
    text = " or ".join(kinds) if isinstance(kinds, list) else kinds
    if text == "array":
        return f"list of {_kind(value['items'])}"
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        text += f", {low:g} to {high:g}"
    elif low is not None:
        text += f", at least {low:g}"
    return escape(text)


def _text(text: str) -> str:
    """Return a description as HTML; parts between backquotes are code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _anchor(method: str, path: str) -> str:
    return slug(f"{method} {path}")
