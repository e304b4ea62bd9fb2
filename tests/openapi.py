"""Answers of the API held to its own OpenAPI document: what it does not describe it may not say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import httpx2

PREFIX = "/api/v1"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@dataclass(kw_only=True)
class Described:
    """The document, and which of its answers were met: (method, path, status)."""

    document: dict[str, Any]
    met: set[tuple[str, str, str]] = field(default_factory=set)

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """The path as it is described, and what is described of it."""
        for template, operations in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
                return template, operations[method.lower()]
        raise AssertionError(f"{method} {path} is not described")

    def check(self, answer: httpx2.Response) -> None:
        """Raises AssertionError if the answer is not as described."""
        request = answer.request
        if request.url.path == f"{PREFIX}/openapi.json":
            return
        path, operation = self.operation(request.method, request.url.path)
        status = str(answer.status_code)
        told = operation["responses"].get(status)
        assert told, f"{request.method} {path} does not say that it may answer {status}: {answer.text}"
        self.met.add((request.method, path, status))
        if not told.get("content"):
            assert answer.content == b""
            return
        ((media_type, content),) = told["content"].items()
        assert answer.headers["content-type"].partition(";")[0] == media_type
        if content["schema"].get("format") == "binary":
            return
        wrong = self.wrong(content["schema"], answer.json())
        assert not wrong, f"{request.method} {path} {status}: {wrong}"

    def wrong(self, schema: dict[str, Any], value: Any, where: str = "$") -> str:
        """Why `value` is not what `schema` says, "" if it is; knows the keywords that the document uses."""
        if reference := schema.get("$ref"):
            return self.wrong(self.document["components"]["schemas"][reference.rpartition("/")[2]], value, where)
        if choices := schema.get("anyOf"):
            found = [self.wrong(choice, value, where) for choice in choices]
            return "" if "" in found else "; ".join(found)
        kind = schema.get("type")
        if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
            return f"{where} is {value!r}, no {kind}"
        if kind == "array":
            return next(filter(None, (self.wrong(schema["items"], one, f"{where}[]") for one in value)), "")
        if kind == "object":
            return self._wrong_object(schema, value, where)
        return ""

    def _wrong_object(self, schema: dict[str, Any], value: dict[str, Any], where: str) -> str:
        if missing := set(schema.get("required", ())) - value.keys():
            return f"{where} lacks {sorted(missing)}"
        fields, others = schema.get("properties", {}), schema.get("additionalProperties", False)
        if (unknown := value.keys() - fields.keys()) and not others:
            return f"{where} has {sorted(unknown)}, of which nothing is said"
        of = {name: fields.get(name, others) for name in value}
        return next(filter(None, (self.wrong(of[name], one, f"{where}.{name}") for name, one in value.items())), "")
