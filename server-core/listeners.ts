/** The ports for clients while the server runs: opened, changed, closed. */
import { isDeepStrictEqual } from 'node:util'
import type { C2sListener } from './config/schema.ts'
import type { Logger } from './log.ts'
import type { Connection } from './net/connection.ts'
import { type Listener, type ListenerContext, listen } from './net/listener.ts'

interface Open {
  readonly key: string
  /** What new connections get. */
  entry: C2sListener
  readonly listener: Listener
}

/** What shall become of the ports; the lists are for people. */
export interface ListenersChange {
  readonly opened: readonly string[]
  readonly closed: readonly string[]
  readonly changed: readonly string[]
  /** Options that only a port that is opened anew can have. */
  readonly later: readonly string[]
  /** Rejects with an Error when a port that was still taken before cannot be opened. */
  commit(): Promise<void>
  discard(): void
}

export class Listeners {
  readonly #context: ListenerContext
  readonly #start: (entry: C2sListener, connection: Connection) => void
  readonly #log: Logger
  #open: readonly Open[] = []

  constructor(
    context: ListenerContext,
    start: (entry: C2sListener, connection: Connection) => void,
    log: Logger,
  ) {
    this.#context = context
    this.#start = start
    this.#log = log
  }

  get listeners(): readonly Listener[] {
    return this.#open.map(({ listener }) => listener)
  }

  /** What would have to be done, for those who only want to know. */
  difference(entries: readonly C2sListener[]) {
    const wanted = keyed(entries)
    const isHere = (key: string) => this.#open.some((open) => open.key === key)
    const kept = this.#open.flatMap((open) => {
      const entry = wanted.get(open.key)
      return entry && !isDeepStrictEqual(entry, open.entry) ? [{ open, entry }] : []
    })
    return {
      wanted,
      added: [...wanted].filter(([key]) => !isHere(key)),
      removed: this.#open.filter(({ key }) => !wanted.has(key)),
      changed: kept.filter(
        ({ open, entry }) => !isDeepStrictEqual({ ...entry, backlog: 0 }, { ...open.entry, backlog: 0 }),
      ),
      later: kept.filter(({ open, entry }) => entry.backlog !== open.entry.backlog),
    }
  }

  /** Opens the ports that are new, except those that another one of ours still has. Rejects, with nothing opened. */
  async prepare(entries: readonly C2sListener[]): Promise<ListenersChange> {
    const { wanted, added, removed, changed, later } = this.difference(entries)
    const fresh: Open[] = []
    const taken: [string, C2sListener][] = []
    const discard = (): void => {
      for (const { listener } of fresh) listener.close()
    }
    try {
      for (const [key, entry] of added) {
        const isTaken = entry.port !== 0 && removed.some((open) => open.listener.port === entry.port)
        if (isTaken) taken.push([key, entry])
        else fresh.push(await this.#listen(key, entry))
      }
    } catch (error) {
      discard()
      throw error
    }
    return {
      opened: added.map(([, entry]) => name(entry)),
      closed: removed.map(({ entry }) => name(entry)),
      changed: changed.map(({ entry }) => name(entry)),
      later: later.map(({ entry }) => `backlog of ${name(entry)}`),
      discard,
      commit: async () => {
        for (const { listener } of removed) listener.close()
        for (const { open, entry } of changed) open.entry = { ...entry, backlog: open.entry.backlog }
        const left = [...this.#open.filter((open) => wanted.has(open.key)), ...fresh]
        this.#open = left
        for (const [key, entry] of taken) this.#open = [...this.#open, await this.#listen(key, entry)]
      },
    }
  }

  async #listen(key: string, entry: C2sListener): Promise<Open> {
    let open: Open | undefined
    const listener = await listen(entry, this.#context, (connection) =>
      this.#start(open?.entry ?? entry, connection),
    )
    open = { key, entry, listener }
    this.#log.info({ module: 'c2s', ip: listener.ip, port: listener.port, tls: listener.tls }, 'listening')
    return open
  }

  close(): void {
    for (const { listener } of this.#open) listener.close()
    this.#open = []
  }
}

/** By address and port; of several with any free port (0) the first stays the first. */
function keyed(entries: readonly C2sListener[]): Map<string, C2sListener> {
  const found = new Map<string, C2sListener>()
  for (const entry of entries) {
    let key = name(entry)
    while (found.has(key)) key += '+'
    found.set(key, entry)
  }
  return found
}

function name({ ip, port }: C2sListener): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}
