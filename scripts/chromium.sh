#!/bin/sh
# Page tests open pages in a real browser. Install Chromium where the machine has none.
# Where that cannot be done the tests of pages are skipped and say so; with CHIASM_BROWSER_TESTS=required they must run.
set -e
missing=0
[ "${CHIASM_BROWSER_TESTS:-}" = required ] && missing=1
for name in "${CHIASM_CHROMIUM:-}" chromium chromium-browser google-chrome; do
  [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
update="apt-get update -qq"
install="env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Page tests need Chromium and are skipped without it: install it, or set CHIASM_CHROMIUM to its path." >&2
  exit $missing
elif [ "$(id -u)" = 0 ]; then
  $update
  $install
elif command -v sudo >/dev/null 2>&1; then
  sudo $update
  sudo $install
else
  echo "Page tests need Chromium, and only root may install it. As root run:" >&2
  echo "  $update && $install" >&2
  echo "or set CHIASM_CHROMIUM to the path of a Chromium that is there. Page tests are skipped without one." >&2
  exit $missing
fi
