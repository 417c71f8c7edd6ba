#!/bin/sh
# Answers leave on descriptor 3, which is what was standard output; whatever else the process prints goes to standard error.
# Services have a short PATH, or none.
PATH="${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin"
here=$(dirname "$(readlink -f "$0")")
if [ "$1" = relay ]; then
  shift
  relay="$here/gatehouse-extauth-relay"
  # An installed package brings the source: it is compiled where it is used first.
  if [ ! -x "$relay" ]; then
    cc -O2 -o "$relay.$$" "$here/relay.c" && mv "$relay.$$" "$relay" || {
      echo "gatehouse-extauth relay: $here/relay.c could not be compiled; a C compiler and write permission there are needed" >&2
      # A server gives up for good on a program that ends at once, a few times.
      sleep 5
      exit 1
    }
  fi
  exec "$relay" "$@"
fi
# A package that is installed for all lies below the folder that has its node in bin.
node=$(command -v node) || node="$here/../../../../bin/node"
if [ ! -x "$node" ]; then
  echo "gatehouse-extauth: there is no node in $PATH: link it to /usr/local/bin/node" >&2
  sleep 5
  exit 1
fi
# A server may have closed its standard error; answers would get there.
true >&2 || exec 2>/dev/null
# One that has closed its end of the answers gets none.
{ true 3>&1; } 2>/dev/null || exec >/dev/null
# A server runs many of these: a small young generation, as most of what a request leaves behind is gone at once, an old one that
# grows in small steps, and no threads of V8's own, which wait for a processor whenever the machine is busy.
small='--max-semi-space-size=1 --heap-growing-percent=5 --single-threaded'
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}"
export UV_THREADPOOL_SIZE="${UV_THREADPOOL_SIZE:-8}"
# These are for the server's own programs: a private folder of libraries, or options that this node may not know, would end it at once.
unset NODE_OPTIONS LD_LIBRARY_PATH LD_PRELOAD
# A daemon has no pipe, and descriptor 3 may be a socket of systemd's.
if [ -n "$LISTEN_FDS" ]; then
  exec "$node" $small "$here/gatehouse-extauth-main.cjs" "$@"
fi
# A server gives up for good on a program that ends at once, a few times, and a node that is broken does. It sees the end when nobody
# holds the pipes any more: this sleep does, for a moment, and the program ends it when it has come up.
{ guard=$(sleep 2 <&4 >&3 2>/dev/null 3>&- 4<&- & echo $!); } 3>&1 4<&0 2>/dev/null
GATEHOUSE_EXTAUTH_GUARD="$guard" GATEHOUSE_EXTAUTH_ANSWERS=3 exec "$node" $small "$here/gatehouse-extauth-main.cjs" "$@" 3>&1 1>&2
