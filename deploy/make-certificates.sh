#!/usr/bin/env bash
# Creates a CA and a certificate for PostgreSQL and the UI's proxy in ./tls.
# Usage: make-certificates.sh NAME-OR-ADDRESS…, the host names and addresses of this machine for other machines and browsers;
# `postgres` and `localhost` are always included.
set -euo pipefail
umask 077
cd "$(dirname "$0")"
mkdir -p tls && chmod 755 tls && cd tls
names="DNS:postgres,DNS:localhost,IP:127.0.0.1"
for name in "$@"; do
  case $name in *[!0-9.]*) names+=",DNS:$name" ;; *) names+=",IP:$name" ;; esac
done
openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=livehouse" -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=livehouse" -keyout server.key -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -out server.crt \
  -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names") 2>/dev/null
rm -f server.csr ca.srl
cp server.key proxy.key
chmod 644 ca.crt server.crt
# Each key is owned by the user of its container, and readable by that user only.
if ! { chown 999 server.key && chown 101 proxy.key; } 2>/dev/null; then
  echo "run as root: chown 999 $PWD/server.key; chown 101 $PWD/proxy.key" >&2
fi
echo "$PWD: ca.crt for clients; keep ca.key elsewhere, or delete it" >&2
