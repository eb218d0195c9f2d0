#!/usr/bin/env bash
# Makes the evidence bucket on AWS, or where AWS_ENDPOINT_URL says; safe to run again. AWS blocks public access to
# new buckets by itself.
#
#   include/deploy/s3/create-bucket.sh MY-BUCKET REGION
#
# It needs the AWS CLI with an administrator's credentials. Object Lock can't be switched off again: try it on a
# bucket you can spare. Afterwards give writer-policy.json to Interlock's user and auditor-policy.json to those who
# verify, with the bucket's name for BUCKET, for instance:
#
#   sed s/BUCKET/MY-BUCKET/ include/deploy/s3/writer-policy.json > policy.json
#   aws iam put-user-policy --user-name interlock --policy-name interlock-evidence --policy-document file://policy.json
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 BUCKET REGION" >&2; exit 2; }
bucket=$1 region=$2
cd "$(dirname "$0")"

location=(--create-bucket-configuration "LocationConstraint=$region")
[ "$region" != us-east-1 ] || location=()
if ! aws s3api head-bucket --region "$region" --bucket "$bucket" > /dev/null 2>&1; then
  # Versioning comes with Object Lock.
  aws s3api create-bucket --region "$region" --bucket "$bucket" --object-lock-enabled-for-bucket ${location[@]+"${location[@]}"}
fi
aws s3api put-object-lock-configuration --region "$region" --bucket "$bucket" \
  --object-lock-configuration file://object-lock.json
aws s3api get-object-lock-configuration --region "$region" --bucket "$bucket"
aws s3api get-bucket-versioning --region "$region" --bucket "$bucket"
