"""Items of Vault: the role that the service logs in with, and the secrets that it reads."""

from __future__ import annotations

from typing import Final

from interlock.environment.check import Unseen
from interlock.onboarding.facts import Facts, VaultFacts
from interlock.onboarding.found import CannotSee, Done, Fix, Found, Missing, Rule
from interlock.onboarding.pods import pod_spec
from interlock.onboarding.service_file import ServiceFile


def role_of(service: str, file: ServiceFile) -> str | None:
    """The service's role as MOUNT/NAME; None where it needs none."""
    return file.vault.role or (f"kubernetes/{service}" if file.vault.paths else None)


def role(facts: Facts) -> Found:
    """Its role is there, has policies of its own, and is for its service account alone."""
    name = role_of(facts.service, facts.file)
    seen = _seen(facts)
    if name is None or seen is None:
        return Done("its file names no secret, so it needs no role")
    found, mount = seen.role, name.rpartition("/")[0]
    if isinstance(found, Unseen):
        if found.kind != "missing":
            raise CannotSee(found.why)
        return Missing(f"there is no role {name}", Fix("Make it", (), _commands(facts, seen, name)))
    policies = [one for one in found.policies if one not in ("default", "root")]
    wrong = []
    if "root" in found.policies:
        wrong.append("it has the policy root")
    if not policies:
        wrong.append("it has no policy of its own")
    if found.service_accounts is not None:
        account = _account(facts)
        if set(found.service_accounts) != {account}:
            wrong.append(f"it is for {', '.join(found.service_accounts)}, not for {account} alone")
        if set(found.namespaces) != {facts.namespace}:
            wrong.append(f"it is for the namespaces {', '.join(found.namespaces)}, not {facts.namespace}")
    if wrong:
        return Missing(
            f"role {name}: {'; '.join(wrong)}", Fix("Write it again", (), _commands(facts, seen, name))
        )
    return Done(f"role {name} of the method at {mount}/ has {', '.join(policies)}")


def paths(facts: Facts) -> Found:
    """Each secret that its file names is there, with its keys."""
    wanted, seen = facts.file.vault.paths, _seen(facts)
    if not wanted or seen is None:
        return Done("its file names no secret")
    wrong: dict[str, str] = {}
    for path, keys in wanted.items():
        found = seen.secrets.get(path, Unseen(f"{path} was not asked for"))
        if isinstance(found, Unseen):
            if found.kind != "missing":
                raise CannotSee(found.why)
            wrong[path] = "is not there"
        elif lacking := [key for key in keys if key not in found]:
            wrong[path] = f"has no key {', '.join(lacking)}"
    if not wrong:
        return Done(f"{', '.join(wanted)}: there, with their keys")
    said = "; ".join(f"{seen.mount}/{path} {why}" for path, why in wrong.items())
    lines = [
        line
        for path, why in wrong.items()
        for line in _put(seen.mount, path, wanted[path] or ["value"], new=why == "is not there")
    ]
    return Missing(said, Fix("Write them, with values of your own", (), "\n".join(lines) + "\n"))


RULES: Final = (Rule("vault.role", role), Rule("vault.paths", paths))


def _seen(facts: Facts) -> VaultFacts | None:
    if isinstance(facts.vault, Unseen):
        raise CannotSee(facts.vault.why)
    return facts.vault


def _account(facts: Facts) -> str:
    """The service account that its pods should log in as: their own."""
    found = pod_spec(facts.workload()).get("serviceAccountName") or "default"
    return facts.workload_name if found == "default" else str(found)


def _commands(facts: Facts, seen: VaultFacts, name: str) -> str:
    mount, _, short = name.rpartition("/")
    data = f"{seen.mount}/data" if seen.kv_version == 2 else seen.mount
    rules = [f'path "{data}/{path}" {{ capabilities = ["read"] }}' for path in facts.file.vault.paths] or [
        f'path "{data}/{facts.service}/*" {{ capabilities = ["read"] }}'
    ]
    bound = (
        []
        if mount.rpartition("/")[2].startswith("approle")
        else [
            f"bound_service_account_names={_account(facts)}",
            f"bound_service_account_namespaces={facts.namespace}",
        ]
    )
    write = [f"vault write auth/{mount}/role/{short}", *bound, f"token_policies={short}", "token_ttl=1h"]
    return "\n".join([f"vault policy write {short} - <<'EOF'", *rules, "EOF", " ".join(write)]) + "\n"


def _put(mount: str, path: str, keys: list[str], *, new: bool) -> list[str]:
    verb = "put" if new else "patch"
    return [f"vault kv {verb} -mount={mount} {path} " + " ".join(f"{key}=…" for key in keys)]
