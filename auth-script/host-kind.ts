/** The servers that run this program, and what each needs (ejabberd before and since 18.06, MongooseIM, gatehouse, Prosody). */
import type { Operation } from '../server-core/extauth/packets.ts'
import { type FailureReply, frameWire, lineWire, type Wire } from './wire.ts'

export interface HostKind {
  readonly failureReply: FailureReply
  /** Whether it survives an answer that is neither yes nor no. */
  readonly takesErrorFrames: boolean
  /** How long a request may take, in milliseconds, when nothing else is said. */
  readonly deadline: number
  /** How long the server itself waits for an answer, in milliseconds: what comes later may count as the next one. */
  readonly patience: number
  readonly operations: readonly Operation[]
  wire(failureReply: () => FailureReply): Wire
}

export const allOperations = [
  'auth',
  'isuser',
  'removeuser',
  'removeuser3',
  'setpass',
  'tryregister',
] as const

const ejabberd: HostKind = {
  failureReply: 'deny',
  takesErrorFrames: true,
  deadline: 8000,
  patience: 30_000,
  operations: allOperations,
  wire: frameWire,
}

export const hostKinds = {
  ejabberd,
  'ejabberd-old': { ...ejabberd, takesErrorFrames: false, patience: 10_000 },
  // Its extauth_timeout is 8 s unless its configuration says otherwise.
  gatehouse: { ...ejabberd, failureReply: 'error-frame', deadline: 7000, patience: Number.POSITIVE_INFINITY },
  mongooseim: { ...ejabberd, takesErrorFrames: false, patience: 10_000 },
  'prosody-line': {
    ...ejabberd,
    deadline: 4500,
    patience: 5000,
    operations: ['auth', 'isuser', 'setpass'],
    wire: lineWire,
  },
} as const satisfies Record<string, HostKind>

export type HostKindName = keyof typeof hostKinds

export const hostKindNames = Object.keys(hostKinds) as HostKindName[]

/** A sentence when a deadline is none for that server. */
export function deadlineComplaint(name: HostKindName, deadline: number | undefined): string | undefined {
  const { patience } = hostKinds[name]
  if (deadline === undefined || deadline < patience) return undefined
  return `${name} waits for ${patience / 1000} s: the deadline must be less than that`
}

/** A sentence when these do not go together. */
export function hostKindComplaint(
  name: HostKindName,
  failureReply: FailureReply | undefined,
): string | undefined {
  if (failureReply !== 'error-frame' || hostKinds[name].takesErrorFrames) return undefined
  return `${name} stops asking for ever after an error-frame: leave the failure reply at deny`
}

/** A sentence when a refused password change needs no answer of its own. */
export function refusedSetpassComplaint(
  name: HostKindName,
  refusedSetpass: FailureReply | undefined,
): string | undefined {
  if (refusedSetpass !== 'error-frame' || name === 'ejabberd') return undefined
  return `refused_setpass: error-frame is for ejabberd since 18.06, ${name} knows a denial`
}

/** A failure reply that the server does not survive; the rest of the configuration is right. */
export class HostKindMistake extends Error {
  readonly hostKind: HostKindName

  constructor(hostKind: HostKindName, complaint: string) {
    super(complaint)
    this.hostKind = hostKind
  }
}
