/** What a word that is being typed may become: hosts, users, resources, commands. */
import type { CommandSpec } from '../extend/command.ts'
import { prepareHost } from '../xmpp/jid.ts'
import type { AdminServer } from './admin-server.ts'
import { byText } from './order.ts'
import { unhurried } from './unhurried.ts'

const maxValues = 100
/** Users are looked through in order of the name; this many at most for one answer. */
const maxLooked = 20_000

export async function complete(
  server: AdminServer,
  commands: readonly CommandSpec[],
  params: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<string[]> {
  const word = (name: string) => (typeof params[name] === 'string' ? params[name] : undefined)
  const prefix = word('prefix') ?? ''
  const hosts =
    prepareHost(word('host') ?? '') === undefined ? server.hosts : [prepareHost(word('host') ?? '') ?? '']
  switch (params['kind']) {
    case 'command':
      return matching(
        commands.map((spec) => spec.name),
        prefix,
      )
    case 'host':
      return matching(server.hosts, prefix)
    case 'user':
      return users(server, hosts, prefix, signal)
    case 'resource': {
      const sessions = hosts.flatMap((host) => server.sessions.ofUser(word('user') ?? '', host))
      return matching(
        sessions.map((session) => session.jid.resource),
        prefix,
      )
    }
    default:
      return []
  }
}

function matching(values: readonly string[], prefix: string): string[] {
  return [...new Set(values)]
    .filter((value) => value.startsWith(prefix))
    .sort(byText)
    .slice(0, maxValues)
}

async function users(
  server: AdminServer,
  hosts: readonly string[],
  prefix: string,
  signal: AbortSignal,
): Promise<string[]> {
  const found: string[] = []
  let looked = 0
  for (const host of hosts) {
    const auth = server.authenticator(host)
    if (!auth) continue
    for await (const user of unhurried(auth.list())) {
      looked++
      if (signal.aborted || looked > maxLooked || found.length >= maxValues) return found
      if (user.startsWith(prefix)) found.push(user)
      else if (user > prefix) break
    }
  }
  return [...new Set(found)]
}
