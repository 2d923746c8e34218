#!/usr/bin/env bash
# Writes the images of compose.yaml into .env, each pinned by its tag's current digest. Run it again to update.
set -euo pipefail
cd "$(dirname "$0")"
touch .env && chmod 600 .env
pinned=$(mktemp) && trap 'rm -f "$pinned"' EXIT
grep -vE '^(PYTHON|POSTGRES|REDIS|NGINX)_IMAGE=' .env > "$pinned" || true
while read -r variable image; do
  digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "$image: the registry gave no digest" >&2; exit 1; }
  echo "$variable=$image@$digest" >> "$pinned"
done <<END
PYTHON_IMAGE python:3.12-slim
POSTGRES_IMAGE postgres:17
REDIS_IMAGE redis:8
NGINX_IMAGE nginxinc/nginx-unprivileged:1.29
END
cat "$pinned" > .env
