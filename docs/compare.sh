#!/usr/bin/env bash
# Measures again and writes docs/compare.html, docs/compare.md and the figures in README.md.
#
#   docs/compare.sh target/release/halley                        the whole grid, about 35 minutes
#   docs/compare.sh target/release/halley --clients 100,500,1000 --publish 1,5,15 --poll 1,5,15
#                                                                a part of it, about 6 minutes
#
# On a machine that does nothing else meanwhile.
set -euo pipefail
binary=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
"$binary" compare --html docs/compare.html --markdown docs/compare.md "$@"

# The main figures are the list at the top of the Markdown.
figures=$(sed -n '/^- /p;/^## /q' docs/compare.md)
awk -v figures="$figures" '
  /<!-- compare -->/ { print; print ""; print figures; print ""; skip = 1; next }
  /<!-- \/compare -->/ { skip = 0 }
  !skip { print }
' README.md >README.md.new
mv README.md.new README.md
