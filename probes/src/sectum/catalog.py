"""Files on disk -> the plug-ins that they define: attacks, adapters, backends of keys, signers and stores."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any, TypeVar

from pydantic import Field, create_model, model_validator

from sectum.errors import SectumError
from sectum.fields import Strict
from sectum.ports import Adapter, Attack, KeyBackend, SignerBackend, StoreBackend

Plugin = TypeVar("Plugin", Attack, Adapter, KeyBackend, SignerBackend, StoreBackend)


class BadPlugin(SectumError):
    """A file in a plug-in folder cannot be imported, defines no plug-in, or one of a name that is taken."""


def found(package: ModuleType, attribute: str, kind: type[Plugin]) -> dict[str, Plugin]:
    """Import every module of `package` and collect its `attribute`; keyed and sorted by the plug-in's name."""
    plugins: dict[str, Plugin] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        try:
            plugin = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), attribute, None)
        except Exception as error:
            why = type(error).__name__
            raise BadPlugin(f"{package.__name__}.{module.name} cannot be imported: {why}") from error
        if not isinstance(plugin, kind) or plugin.name in plugins:
            raise BadPlugin(f"{package.__name__}.{module.name} must define {attribute}: {kind.__name__} of a new name")
        plugins[plugin.name] = plugin
    return dict(sorted(plugins.items()))


@cache
def attacks() -> dict[str, Attack]:
    """Every attack class on disk."""
    return found(importlib.import_module("sectum.attacks"), "ATTACK", Attack)


@cache
def adapters() -> dict[str, Adapter]:
    """Every surface adapter on disk."""
    return found(importlib.import_module("sectum.surfaces"), "ADAPTER", Adapter)


@cache
def key_backends() -> dict[str, KeyBackend]:
    """Every kind of manifest key on disk."""
    return found(importlib.import_module("sectum.keys"), "KEY", KeyBackend)


@cache
def signer_backends() -> dict[str, SignerBackend]:
    """Every kind of signer on disk."""
    return found(importlib.import_module("sectum.signers"), "SIGNER", SignerBackend)


@cache
def store_backends() -> dict[str, StoreBackend]:
    """Every kind of object store on disk."""
    return found(importlib.import_module("sectum.stores"), "STORE", StoreBackend)


class OneOf(Strict):
    """A union as nested keys, as Kubernetes writes it: exactly one key is given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOf:
        if len(self.model_fields_set) != 1 or self.chosen is None:
            raise ValueError(f"give exactly one of: {', '.join(self._keys())}")
        return self

    @classmethod
    def _keys(cls) -> list[str]:
        return [each.alias or name for name, each in cls.model_fields.items()]

    @property
    def chosen(self) -> Any:
        """The value under the one key."""
        return getattr(self, next(iter(self.model_fields_set)))

    @property
    def chosen_name(self) -> str:
        """The one key, as YAML spells it."""
        name = next(iter(self.model_fields_set))
        return type(self).model_fields[name].alias or name


def one_of(title: str, doc: str, plugins: dict[str, Any]) -> type[OneOf]:
    """The union of the plug-ins' `spec` models under their names."""
    fields: dict[str, Any] = {
        name.replace("-", "_"): (plugin.spec | None, Field(None, alias=name, description=plugin.summary))
        for name, plugin in plugins.items()
    }
    return create_model(title, __base__=OneOf, __doc__=doc, **fields)
