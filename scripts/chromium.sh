#!/bin/sh
# Page tests open pages in a real browser. Install Chromium where the machine has none.
set -e
for name in "${CHIASM_CHROMIUM:-}" chromium chromium-browser google-chrome; do
  [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1; then
  run=""; [ "$(id -u)" = 0 ] || run="sudo"
  $run apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
else
  echo "Page tests need Chromium: install it, or set CHIASM_CHROMIUM to its path." >&2
  exit 1
fi
