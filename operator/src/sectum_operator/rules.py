"""What a schema of single fields cannot say of the resources -> CEL rules, each with a message that says what to do.

They repeat what the models check themselves, so that `kubectl apply` refuses at once what a run would refuse later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import BaseModel
from sectum import catalog, fields, scenario
from sectum.keys import aws_kms
from sectum.signers.ec_key import EcKeySpec
from sectum.stores import s3
from sectum.surfaces import chroma, mcp, openai, pgvector
from sectum.web import api, calls, templates, tokens

from sectum_operator import resources
from sectum_operator.crd import Rule

_LITERAL = (
    f"self.headers.all(key, !key.matches('(?i){templates.CREDENTIAL.pattern}') || self.headers[key].contains('{{'))"
)


def rules() -> dict[type, tuple[Rule, ...]]:
    """Model -> its rules."""
    unions = (scenario.AdapterUnion, scenario.KeyUnion, scenario.SignerUnion, scenario.StoreUnion)
    return {
        **{union: (_exactly_one(union),) for union in unions},
        **_SCENARIO,
        **_attacks(catalog.attacks()),
        **_ADAPTERS,
        resources.RunSpec: (*_fixed(resources.RunSpec, but={"cancel", "suspend"}), *_RUN),
        resources.Subset: (
            _rule("has(self.surfaces) || has(self.attacks)", "name surfaces, attacks or both, or leave subset out"),
        ),
        resources.PackSpec: _fixed(resources.PackSpec, but=set()),
    }


def _rule(rule: str, message: str, field: str = "") -> Rule:
    return {"rule": rule, "message": message} | ({"fieldPath": f".{field}"} if field else {})


def _names(model: type[BaseModel]) -> list[str]:
    return [each.alias or name for name, each in model.model_fields.items()]


def _exactly_one(union: type[BaseModel]) -> Rule:
    given = ", ".join(f"has(self.{name.replace('-', '__dash__')})" for name in _names(union))
    return _rule(f"[{given}].filter(each, each).size() == 1", f"give exactly one of: {', '.join(_names(union))}")


def _fixed(model: type[BaseModel], *, but: set[str]) -> tuple[Rule, ...]:
    """Every field stays as it was created; a rule each, so that the refusal names it."""
    return tuple(
        _rule(
            f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
            "cannot be changed",
            name,
        )
        for name in _names(model)
        if name not in but
    )


def _prefixed(name: str, prefix: str) -> tuple[Rule, ...]:
    """A Secret's name begins as those of its kind do."""
    said = f"the Secret's name must start with {prefix}"
    return (_rule(f"!has(self.{name}) || self.{name}.startsWith('{prefix}')", said, name),)


def _attacks(known: Iterable[str]) -> dict[type, tuple[Rule, ...]]:
    names, said = json.dumps(sorted(known)), f"known attacks: {', '.join(sorted(known))}"
    return {
        scenario.Surface: (
            _rule(f"!has(self.attacks) || self.attacks.all(each, each in {names})", said, "attacks"),
            *_SURFACE,
        ),
        scenario.Exclusion: (_rule(f"self.attack in {names}", said, "attack"),),
        scenario.AcceptedRisk: (_rule(f"self.attack in {names}", said, "attack"),),
    }


_OWN = "'sectum-surface-' + self.name + '-'"
_SURFACE = (
    _rule(
        f"self.credentials.secretRef.name.startsWith({_OWN})",
        "the Secret's name must start with sectum-surface-<name of this surface>-",
        "credentials.secretRef.name",
    ),
    _rule(
        "!has(self.adapter.mcp) || !has(self.adapter.mcp.tokens) || !has(self.adapter.mcp.tokens.issuerKey) || "
        f"self.adapter.mcp.tokens.issuerKey.secretRef.name.startsWith({_OWN})",
        "the Secret's name must start with sectum-surface-<name of this surface>-",
        "adapter.mcp",
    ),
)
_SCENARIO: dict[type, tuple[Rule, ...]] = {
    fields.Egress: (
        _rule("has(self.cidr) != has(self.pods)", "give exactly one of: cidr, pods"),
        _rule(
            "!has(self.cidr) || isCIDR(self.cidr) && cidr(self.cidr) == cidr(self.cidr).masked()",
            "must be a network such as 10.20.0.0/16 or fd00::/8, no host bits set",
            "cidr",
        ),
    ),
    aws_kms.AwsKmsSpec: (
        *_prefixed("encryptSecret", "sectum-kms-encrypt-"),
        *_prefixed("decryptSecret", "sectum-kms-decrypt-"),
    ),
    s3.S3Spec: _prefixed("secret", "sectum-store-"),
    scenario.Trials: (
        _rule(
            "self.perPair <= self.markersPerUser",
            "must not exceed markersPerUser: each trial of a pair needs a marker of its own",
            "perPair",
        ),
    ),
    EcKeySpec: (
        _rule(
            "self.secretRef.name.startsWith('sectum-signer-')",
            "the Secret's name must start with sectum-signer-",
            "secretRef.name",
        ),
    ),
    scenario.Spec: (
        _rule(
            "self.tenants.size() > 1 || self.tenants.exists(each, each.users.size() > 1)",
            "there is nobody to ask for another's data: add a tenant or a user",
            "tenants",
        ),
        _rule(
            "self.exclusions.all(each, self.surfaces.exists(surface, surface.name == each.surface))",
            "each surface must be one of this scenario's",
            "exclusions",
        ),
        _rule(
            "self.sharing.all(each, self.surfaces.exists(surface, surface.name == each.surface))",
            "each surface must be one of this scenario's",
            "sharing",
        ),
        *(
            _rule(
                f"self.sharing.all(each, self.tenants.exists(tenant, tenant.name == each.{side}.tenant && "
                f"(!has(each.{side}.user) || tenant.users.exists(user, user.name == each.{side}.user))))",
                f"{side} must be a tenant of this scenario, or a user of it",
                "sharing",
            )
            for side in ("owner", "with")
        ),
        _rule(
            "self.acceptedRisks.all(each, self.surfaces.exists(surface, surface.name == each.surface))",
            "each surface must be one of this scenario's",
            "acceptedRisks",
        ),
        *(
            _rule(
                f"self.acceptedRisks.all(each, !has(each.{side}) || self.tenants.exists(tenant, tenant.name == "
                f"each.{side}.tenant && (!has(each.{side}.user) || tenant.users.exists(user, user.name == "
                f"each.{side}.user))))",
                f"{side} must be a tenant of this scenario, or a user of it",
                "acceptedRisks",
            )
            for side in ("asker", "owner")
        ),
    ),
}


def _proves(field: str) -> tuple[Rule, ...]:
    """A map of expectations in which both names must turn up."""
    return tuple(
        _rule(
            f"self.{field}.exists(key, self.{field}[key].contains('{{{name}}}'))",
            f"proves no {name}: let a value mention {{{name}}}",
            field,
        )
        for name in ("tenant", "user")
    )


_NO_LITERAL = (
    _rule(
        f"!has(self.headers) || {_LITERAL}",
        "a credential is spelt out; put it into the surface's Secret and write {credential}",
        "headers",
    ),
)
_ADAPTERS: dict[type, tuple[Rule, ...]] = {
    calls.WhoAmICall: _proves("expect"),
    mcp.WhoAmITool: _proves("expect"),
    chroma.Proof: _proves("expect"),
    tokens.Tokens: (
        *_proves("claims"),
        _rule("self.otherAudience != self.audience", "is the right one", "otherAudience"),
    ),
    openai.OpenAiSpec: (
        _rule("has(self.ask) || has(self.askCached)", "give ask, askCached or both: {} asks with nothing else"),
    ),
    pgvector.PgvectorSpec: tuple(
        _rule(
            f"self.role.contains('{{{name}}}') || has(self.whoami.settings) && "
            f"self.whoami.settings.exists(key, self.whoami.settings[key].contains('{{{name}}}'))",
            f"proves no {name}: mention {{{name}}} in role or in whoami.settings",
            "role",
        )
        for name in ("tenant", "user")
    ),
    pgvector.Claim: (
        _rule(
            "self.settings.exists(key, self.settings[key].contains('{owner.'))",
            "claim nothing: mention {owner.tenant} or {owner.user}",
            "settings",
        ),
    ),
    templates.Fields: _NO_LITERAL,
    api.WebApi: _NO_LITERAL,
    mcp.McpSpec: _NO_LITERAL,
    chroma.ChromaSpec: _NO_LITERAL,
    chroma.Claim: _NO_LITERAL,
}
_RUN = (
    _rule(
        "duration(self.timeout) >= duration('1m') && duration(self.timeout) <= duration('72h')",
        "must be from 1m to 72h",
        "timeout",
    ),
    _rule("!oldSelf.cancel || self.cancel", "cannot be taken back", "cancel"),
)
