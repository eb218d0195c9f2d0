# What the writer of the evidence log's head may do in Vault: sign checkpoints. Apply it with
#   vault policy write interlock-log include/deploy/vault/interlock-log.hcl
# and give it to an AppRole of its own. The workers' role doesn't get it: who can make statements can't sign
# what the log says of them, and the other way round.

# Sign checkpoints. The key is ed25519, not exportable, and never leaves Vault.
path "transit/sign/interlock-checkpoints" {
  capabilities = ["update"]
}

# Publish the public key, and check signatures.
path "transit/keys/interlock-checkpoints" {
  capabilities = ["read"]
}
path "transit/verify/interlock-checkpoints" {
  capabilities = ["update"]
}

# Look after the own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
