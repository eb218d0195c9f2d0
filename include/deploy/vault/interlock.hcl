# What Interlock's workers may do in Vault. Apply it with
#   vault policy write interlock include/deploy/vault/interlock.hcl
# and give it to the AppRole that the Airflow connection interlock_vault logs in with.

# Sign statements. The key is ed25519, not exportable, and never leaves Vault.
path "transit/sign/interlock-statements" {
  capabilities = ["update"]
}

# Publish the public keys, and check signatures; also those of the log, which signs with a role of its own
# (interlock-log.hcl).
path "transit/keys/interlock-statements" {
  capabilities = ["read"]
}
path "transit/keys/interlock-checkpoints" {
  capabilities = ["read"]
}
path "transit/verify/interlock-statements" {
  capabilities = ["update"]
}
path "transit/verify/interlock-checkpoints" {
  capabilities = ["update"]
}

# See which keys the secrets under interlock/ have, and their versions; never a value.
path "secret/subkeys/interlock/*" {
  capabilities = ["read"]
}
path "secret/metadata/interlock/*" {
  capabilities = ["read", "list"]
}

# Look after the own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
