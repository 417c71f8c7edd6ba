/**
 * The table of commands: what the server always has, and the submods of service_admin_extra. To add a family of commands: a
 * file in this folder and a line here.
 */
import type { CommandSpec } from '../../extend/command.ts'
import type { AdminServer } from '../admin-server.ts'
import { accountCommands } from './accounts.ts'
import { coreCommands } from './core.ts'
import { registrationCommands } from './registration.ts'
import { rosterCommands } from './roster.ts'
import { sessionCommands } from './sessions.ts'
import { stanzaCommands } from './stanza.ts'
import { statsCommands } from './stats.ts'

export type CommandFamily = (server: AdminServer) => readonly CommandSpec[]

/** There without any service. */
export const coreFamilies: readonly CommandFamily[] = [coreCommands, registrationCommands]

/** service_admin_extra's commands by submod. */
export const extraFamilies = {
  accounts: accountCommands,
  roster: rosterCommands,
  sessions: sessionCommands,
  stanza: stanzaCommands,
  stats: statsCommands,
} as const satisfies Readonly<Record<string, CommandFamily>>
