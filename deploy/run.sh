#!/bin/bash
# Usage: deploy/run.sh PROGRAM ARG…     runs it in the foreground for `make run`.
# Ctrl-C goes to everything in the terminal's foreground group. make would die of it and report a
# failure where the server ended well, so the server gets a group of its own there.
if read -r _ _ _ _ group _ _ foreground _ < /proc/$$/stat && [ "$group" = "$foreground" ]; then
    set -m
    "$@"
    exit
fi
exec "$@"
