#!/bin/sh
# Makes sure that the browser tests find a Chromium: one on the PATH, the distribution's package
# where this user may install one, else the build that Playwright downloads.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        chromium fonts-noto-cjk fonts-noto-color-emoji >/dev/null
    exit 0
fi
"${PYTHON:-python3}" -m playwright install chromium
