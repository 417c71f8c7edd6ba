/**
 * Which resources get a message (RFC 6121 §8.5), as tables. The choices made where the standard allows several: to a bare JID
 * all resources of the highest non-negative priority; what nobody can take is stored if it is a normal or chat message.
 */

/** How many available resources of non-negative priority an account has. */
export type BareState = 'none' | 'one' | 'several'

/** `highest`: all that share the highest priority; `all`: all of non-negative priority; `store`: offline, else refused. */
export type Rule = 'highest' | 'all' | 'store' | 'refuse' | 'drop'

type MessageType = 'normal' | 'chat' | 'groupchat' | 'headline' | 'error'

const bare: Readonly<Record<MessageType, Readonly<Record<BareState, Rule>>>> = {
  normal: { none: 'store', one: 'highest', several: 'highest' },
  chat: { none: 'store', one: 'highest', several: 'highest' },
  groupchat: { none: 'refuse', one: 'refuse', several: 'refuse' },
  headline: { none: 'drop', one: 'all', several: 'all' },
  error: { none: 'drop', one: 'drop', several: 'drop' },
}

/** A type that the standard does not know counts as normal (RFC 6121 §5.2.2). */
function known(type: string): MessageType {
  return type in bare ? (type as MessageType) : 'normal'
}

export function toBare(type: string, state: BareState): Rule {
  return bare[known(type)][state]
}

/** To a resource that is not connected: chat goes on as to the bare JID. */
export function toFullWithoutMatch(type: string, state: BareState): Rule {
  const kind = known(type)
  if (kind === 'chat') return bare.chat[state]
  return kind === 'headline' || kind === 'error' ? 'drop' : 'refuse'
}
