/** From what the command line says to a plan. What a source needs is loaded only for that source. */
import { resolve } from 'node:path'
import type { Logger } from '../server-core/log.ts'
import {
  deadlineComplaint,
  HostKindMistake,
  hostKindComplaint,
  refusedSetpassComplaint,
} from './host-kind.ts'
import { type Flags, type Source, sourceOf } from './options.ts'
import type { Plan, PlannedBackend } from './plan.ts'
import { SqliteBackend } from './sqlite.ts'

/** Rejects with an Error whose message is for the administrator, of several lines when there are several complaints. */
export async function loadPlan(flags: Flags, log: Logger): Promise<Plan> {
  const plan = await planOf(sourceOf(flags), log)
  const hostKind = flags.hostKind ?? plan.hostKind
  const failureReply = flags.failureReply ?? plan.failureReply
  // Each may be right where it stands, and yet they may not go together.
  const complaint =
    hostKindComplaint(hostKind ?? 'ejabberd', failureReply) ??
    deadlineComplaint(hostKind ?? 'ejabberd', plan.deadline) ??
    refusedSetpassComplaint(hostKind ?? 'ejabberd', plan.refusedSetpass)
  if (complaint !== undefined) throw new HostKindMistake(hostKind ?? 'ejabberd', complaint)
  return {
    ...plan,
    hostKind,
    failureReply,
    operations: flags.readOnly ? ['auth', 'isuser'] : plan.operations,
  }
}

async function planOf(source: Source, log: Logger): Promise<Plan> {
  if (source.kind === 'flags') {
    const backends: PlannedBackend[] = []
    if (source.sqlite !== undefined) {
      const file = resolve(source.sqlite)
      const backend = new SqliteBackend({ file, password_format: 'bcrypt', rehash: false }, log)
      backends.push({ name: 'sqlite', type: 'sqlite', paths: [file], backend })
    }
    if (source.ldap !== undefined) {
      const { ldapOfFlags } = await import('./ldap-flags.ts')
      backends.push(ldapOfFlags(source.ldap, log))
    }
    return { banPrefix: false, throttle: 250, hosts: undefined, backends }
  }
  const { loadExtauthConfig, loadGatehouseConfig } = await import('./config.ts')
  return source.kind === 'config'
    ? loadExtauthConfig(source.file, log)
    : loadGatehouseConfig(source.file, log)
}
