/**
 * The table of commands: what the server always has, and the submods of service_admin_extra. To add a family of commands: a
 * file in this folder and a line here.
 */
import type { CommandSpec } from '../../extend/command.ts'
import type { AdminServer } from '../admin-server.ts'
import { accountCommands } from './accounts.ts'
import { certificateCommands } from './certificates.ts'
import { configurationCommands } from './configuration.ts'
import { coreCommands } from './core.ts'
import { domainCommands } from './domains.ts'
import { gdprCommands } from './gdpr.ts'
import { lastCommands } from './last.ts'
import { maintenanceCommands } from './maintenance.ts'
import { moduleCommands } from './modules.ts'
import { nodeCommands } from './node.ts'
import { oldUserCommands } from './old-users.ts'
import { privateCommands } from './private.ts'
import { registrationCommands } from './registration.ts'
import { rosterCommands } from './roster.ts'
import { sessionCommands } from './sessions.ts'
import { stanzaCommands } from './stanza.ts'
import { statsCommands } from './stats.ts'
import { vcardCommands } from './vcard.ts'

export type CommandFamily = (server: AdminServer) => readonly CommandSpec[]

/** There without any service. */
export const coreFamilies: readonly CommandFamily[] = [
  certificateCommands,
  configurationCommands,
  coreCommands,
  domainCommands,
  maintenanceCommands,
  moduleCommands,
  registrationCommands,
]

/** The submods of service_admin_extra, all of MongooseIM's. */
export const submods = [
  'accounts',
  'gdpr',
  'last',
  'node',
  'private',
  'roster',
  'sessions',
  'stanza',
  'stats',
  'vcard',
] as const

export const extraFamilies: Readonly<Record<(typeof submods)[number], CommandFamily>> = {
  accounts: (server) => [...accountCommands(server), ...oldUserCommands(server)],
  gdpr: gdprCommands,
  last: lastCommands,
  node: nodeCommands,
  private: privateCommands,
  roster: rosterCommands,
  sessions: sessionCommands,
  stanza: stanzaCommands,
  stats: statsCommands,
  vcard: vcardCommands,
}

/** The names of all of them, by which a control socket may be limited; no server is needed to tell. */
export function commandNames(): string[] {
  const none = new Proxy({} as AdminServer, {
    get() {
      throw new Error('a command looks at the server before it is run')
    },
  })
  const families = [...coreFamilies, ...Object.values(extraFamilies)]
  return families.flatMap((family) => family(none)).map(({ name }) => name)
}
