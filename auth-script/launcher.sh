#!/bin/sh
# Answers leave on descriptor 3, which is what was standard output; whatever else the process prints goes to standard error.
GATEHOUSE_EXTAUTH_ANSWERS=3 UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}" exec node "$(dirname "$(readlink -f "$0")")/gatehouse-extauth-main.js" "$@" 3>&1 1>&2
