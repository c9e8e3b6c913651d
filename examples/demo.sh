#!/usr/bin/env bash
# Builds Tripline and shows it at work on a bundled log: an SSH break-in among normal noise.
set -euo pipefail
cd "$(dirname "$0")/.."
docker/install-packages.sh
exec cargo run --locked --quiet -- demo "$@"
