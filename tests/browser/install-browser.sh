#!/bin/sh
# Makes sure that the browser tests find a Chromium: the headless shell, which opens a page for two
# thirds of the whole browser's work, from the PATH, from the distribution where this user may
# install it, else the build that Playwright downloads. A whole browser on the PATH does as well.
set -eu
if command -v chromium-headless-shell >/dev/null 2>&1; then exit 0; fi
whole=
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then whole=$name; fi
done
# What is needed is asked for in earnest, what would only be quicker once and not for long.
install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    if [ -n "$whole" ]; then
        install -o Acquire::Retries=0 -o Acquire::http::Timeout=10 \
            chromium-headless-shell 2>/dev/null || true
        exit 0
    fi
    apt-get update -qq
    install chromium-headless-shell fonts-noto-cjk fonts-noto-color-emoji ||
        install chromium fonts-noto-cjk fonts-noto-color-emoji
    exit 0
fi
if [ -n "$whole" ]; then exit 0; fi
"${PYTHON:-python3}" -m playwright install --only-shell chromium
