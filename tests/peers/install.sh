#!/usr/bin/env bash
# Installs what tests/peers runs, into .peers beside pyproject.toml; npm asks the registry that it is set up for.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p .peers
cp tests/peers/package.json .peers/
npm install --prefix .peers --no-audit --no-fund --ignore-scripts --loglevel=error
