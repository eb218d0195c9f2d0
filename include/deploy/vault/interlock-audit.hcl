# What the environment check may do in Vault to see whether audit devices are enabled. Apply it with
#   vault policy write interlock-audit include/deploy/vault/interlock-audit.hcl
# and give it to an AppRole of its own. The workers' role doesn't get it: whose steps are recorded has no say in
# the record.

# List the audit devices; Vault asks for sudo on this path, also to read.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}

# Look after the own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
