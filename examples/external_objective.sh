#!/bin/sh
# An objective in another language: Branin's function in awk. See external.toml.
#
# The values come as arguments here; the whole configuration is also on standard input and in $BLACKBOX_CONFIG, as JSON.
# What counts is the last line of JSON that is printed. Everything on standard error is kept if the evaluation fails.

set -eu
echo "evaluating ${BLACKBOX_CONFIG:-}" >&2

awk -v x="$1" -v y="$2" 'BEGIN {
    pi = atan2(0, -1)
    a = y - 5.1 / (4 * pi * pi) * x * x + 5 / pi * x - 6
    b = 10 * (1 - 1 / (8 * pi)) * cos(x) + 10
    printf "{\"height\": %.17g}\n", a * a + b
}'
