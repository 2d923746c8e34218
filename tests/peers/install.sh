#!/usr/bin/env bash
# Installs the programs of tests/peers into .peers next to pyproject.toml, from the registry that npm is configured for.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .peers
cp tests/peers/package.json .peers/
npm install --prefix .peers --no-audit --no-fund --ignore-scripts --loglevel=error
