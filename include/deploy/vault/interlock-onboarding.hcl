# What the onboarding check may do in Vault: see which roles the services log in with, and which keys their
# secrets have. It reads no value. Apply it with
#   vault policy write interlock-onboarding include/deploy/vault/interlock-onboarding.hcl
# and give it to an AppRole of its own. The workers' role doesn't get it: it moves services, and needs nothing of
# theirs.

# The services' roles, of the methods that they log in with: put the mount points of yours.
path "auth/kubernetes/role/*" {
  capabilities = ["read"]
}
path "auth/approle/role/+" {
  capabilities = ["read"]
}

# The names of the keys of their secrets.
path "secret/subkeys/services/*" {
  capabilities = ["read"]
}
path "secret/metadata/services/*" {
  capabilities = ["read"]
}

# Look after the own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
