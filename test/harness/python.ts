/** Python clients in fixtures/peers: they print one JSON object a line, {"event": …}, and read commands the same way. */

import { slixmppPython } from './find.ts'
import { peerFixtures } from './paths.ts'
import { type Running, start } from './process.ts'

export interface PythonEvent {
  readonly event: string
  readonly [field: string]: unknown
}

export interface PythonClient {
  readonly events: readonly PythonEvent[]
  /** The first event of that name, not yet taken, that matches; it is taken. */
  event(name: string, matches?: (event: PythonEvent) => boolean, ms?: number): Promise<PythonEvent>
  command(command: { readonly do: string; readonly [field: string]: unknown }): void
  stop(): Promise<void>
}

/** The password travels in the environment, as the arguments of a process are everybody's to read. */
export function startPython(script: string, args: readonly string[], password: string): PythonClient {
  const python = slixmppPython()
  if (python === undefined) throw new Error('there is no Python with slixmpp')
  const running: Running = start(python, ['-u', `${peerFixtures}/${script}`, ...args], {
    env: { PEER_PASSWORD: password, PYTHONIOENCODING: 'utf-8' },
  })
  const taken = new Set<number>()
  const parse = (line: string): PythonEvent | undefined => {
    if (!line.startsWith('{"event"')) return undefined
    return JSON.parse(line) as PythonEvent
  }
  return {
    get events() {
      return running.lines.flatMap((line) => parse(line) ?? [])
    },
    event(name, matches = () => true, ms = 15_000) {
      return running.line(
        `event ${name} of ${script} ${args.join(' ')}`,
        (line, index) => {
          if (taken.has(index)) return undefined
          const event = parse(line)
          if (event?.event !== name || !matches(event)) return undefined
          taken.add(index)
          return event
        },
        ms,
      )
    },
    command: (command) => running.write(JSON.stringify(command)),
    async stop() {
      await running.stop()
    },
  }
}
