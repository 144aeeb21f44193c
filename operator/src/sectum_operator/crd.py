"""A pydantic model -> the structural schema that Kubernetes takes for it in a CustomResourceDefinition.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
What is not known here is an error: a schema says less than its model only where the comments say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

Schema = dict[str, Any]
Rule = dict[str, str]
"""One of x-kubernetes-validations: `rule`, `message`, and `fieldPath` where it is about a field below."""

VALIDATIONS = "x-kubernetes-validations"
_FREE = "x-kubernetes-preserve-unknown-fields"
_LIST_TYPE, _LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
_NULL = {"type": "null"}
_DROPPED = frozenset({"title", "$defs", "discriminator"})
_KEPT = frozenset(
    {"type", "description", "enum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "minimum",
     "maximum", "minProperties", "maxProperties", "required", "default", "nullable", VALIDATIONS, _LIST_TYPE,
     _LIST_KEYS}
)  # fmt: skip


class NotStructural(TypeError):
    """A model that no structural schema can say."""


def as_map(*keys: str) -> Schema:
    """A list with at most one item of each of the keys' values."""
    return {_LIST_TYPE: "map", _LIST_KEYS: list(keys)}


def as_set() -> Schema:
    """A list without duplicates."""
    return {_LIST_TYPE: "set"}


def structural(model: type[BaseModel], rules: Mapping[type, tuple[Rule, ...]]) -> Schema:
    """The schema of a model; `rules` are CEL rules for it and the models in it, inherited by subclasses."""

    class Generator(GenerateJsonSchema):
        """Pydantic's own, which puts each model's rules beside it while its class is still known."""

        def model_schema(self, schema: Any) -> JsonSchemaValue:
            generated = super().model_schema(schema)
            for name, field in schema["cls"].model_fields.items():  # of which pydantic's schema has nothing
                if field.default_factory is not None and (made := field.get_default(call_default_factory=True)):
                    generated["properties"][field.alias or name].setdefault("default", made)
            own = [rule for parent in schema["cls"].__mro__ for rule in rules.get(parent, ())]
            return {**generated, VALIDATIONS: own} if own else generated

    generated = model.model_json_schema(by_alias=True, schema_generator=Generator)
    return _Inliner(generated.get("$defs", {})).node(generated, ())


class _Inliner:
    """JSON schema -> structural schema, node by node; `above` are the definitions that a node stands in."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, given: Schema, above: tuple[str, ...]) -> Schema:
        """One node and all below it."""
        node, above = self._resolved(given, above)
        node = _without_null(node)
        if "anyOf" in node:
            node, above = self._resolved(_one_option(node), above)
        made = {key: value for key, value in node.items() if key in _KEPT}
        left = node.keys() - _KEPT - _DROPPED
        if node.get("type") == "object":
            made |= self._object(node, above)
            left -= {"properties", "additionalProperties", "patternProperties", "propertyNames"}
        elif node.get("type") == "array":
            made |= self._array(node, above)
            left -= {"items"}
        elif not made.get("type"):
            made |= _untyped(made)
        made |= _exact(node)
        if left := left - {"const", "exclusiveMinimum", "exclusiveMaximum"}:
            raise NotStructural(f"{sorted(left)} has no counterpart")
        return dict(sorted(made.items()))

    def _resolved(self, node: Schema, above: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """The node with its definition put in its place; what stands beside the reference goes first."""
        while "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            if name in above:
                raise NotStructural(f"{name} contains itself")
            beside = {key: value for key, value in node.items() if key != "$ref"}
            node, above = {**self._definitions[name], **beside}, (*above, name)
        return node, above

    def _object(self, node: Schema, above: tuple[str, ...]) -> Schema:
        if "properties" in node:  # unknown keys are pruned, or refused where strict; so no additionalProperties
            return {"properties": {name: self.node(each, above) for name, each in node["properties"].items()}}
        values, keys = node.get("additionalProperties", {}), node.get("propertyNames", {})
        if "patternProperties" in node:
            [(pattern, values)] = node["patternProperties"].items()
            keys = {**keys, "pattern": pattern}
        below = self.node({} if values is True else values, above)
        if _FREE in below:  # CEL sees nothing of such a map; and a null, which means something in a body, would vanish
            return {"additionalProperties": {**below, "nullable": True}}
        rules = [*node.get(VALIDATIONS, ()), *_key_rules(keys)]
        return {"additionalProperties": below} | ({VALIDATIONS: rules} if rules else {})

    def _array(self, node: Schema, above: tuple[str, ...]) -> Schema:
        if "items" not in node:
            raise NotStructural("a list of anything, or a tuple: say what its items are")
        items = self.node(node["items"], above)
        named = "name" in items.get("required", ())
        return {"items": items} | (as_map("name") if named and _LIST_TYPE not in node else {})


def _without_null(node: Schema) -> Schema:
    """`X | None` is X that may be left out; null is a value of its own only where the default is another."""
    options = [option for option in node.get("anyOf", ()) if option != _NULL]
    default = {"default": _without_nulls(node["default"])} if node.get("default") is not None else {}
    bare = {key: value for key, value in node.items() if key not in ("anyOf", "default")} | default
    if not options:
        return bare
    nullable = {"nullable": True} if default and _NULL in node["anyOf"] else {}
    return {**bare, **nullable, "anyOf": options}


def _one_option(node: Schema) -> Schema:
    """A union with its only option in its place; of scalars the server checks nothing, the scenario's parser does."""
    options = node["anyOf"]
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    if len(options) == 1:
        return {**options[0], **beside}
    if any(option.get("type") not in ("string", "boolean", "integer", "number") for option in options):
        raise NotStructural("a union of more than scalars: write it as nested keys (OneOf)")
    return beside


def _without_nulls(default: Any) -> Any:
    if isinstance(default, dict):
        return {key: _without_nulls(value) for key, value in default.items() if value is not None}
    return default


def _untyped(made: Schema) -> Schema:
    return {"type": "string"} if "enum" in made else {_FREE: True}


def _exact(node: Schema) -> Schema:
    """`const` and the exclusive bounds as OpenAPI 3.0 spells them."""
    made: Schema = {"enum": [node["const"]]} if "const" in node else {}
    for name in ("Minimum", "Maximum"):
        if f"exclusive{name}" in node:
            made |= {f"exclusive{name}": True, name.lower(): node[f"exclusive{name}"]}
    return made


def _key_rules(keys: Schema) -> list[Rule]:
    """What the schema cannot say of a map's keys, as CEL."""
    rules = []
    if "pattern" in keys:
        rule = f"self.all(key, key.matches({json.dumps(keys['pattern'])}))"
        rules.append({"rule": rule, "message": f"each key must match {keys['pattern']}"})
    if "maxLength" in keys:
        least, most = keys.get("minLength", 0), keys["maxLength"]
        rule = f"self.all(key, size(key) >= {least} && size(key) <= {most})"
        rules.append({"rule": rule, "message": f"each key must have {least} to {most} characters"})
    return rules
