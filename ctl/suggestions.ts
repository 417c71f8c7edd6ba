/** What an argument that is asked for may be: the hosts, the users, the resources of the user who was named before. */
import {
  type ArgumentDescription,
  type Completion,
  type Description,
  type JsonValue,
  methods,
} from '../server-core/admin/control-protocol.ts'
import type { Client } from './client.ts'

/** Finds what begins with a text. */
export type Search = (prefix: string) => Promise<readonly string[]>

/** undefined where nothing is known. */
export function searchFor(
  client: Client,
  description: Description,
  { names }: ArgumentDescription,
  given: Readonly<Record<string, JsonValue>>,
): Search | undefined {
  if (names === 'host') {
    return async (prefix) => description.hosts.filter((host) => host.startsWith(prefix.toLowerCase()))
  }
  if (names !== 'user' && names !== 'resource') return undefined
  const { user, host } = given
  const about = {
    ...(typeof host === 'string' ? { host } : {}),
    ...(typeof user === 'string' ? { user } : {}),
  }
  return async (prefix) => {
    const query: Completion = { kind: names, prefix, ...about }
    const reply: unknown = await client.call(methods.complete, { ...query })
    return (reply as { readonly values: readonly string[] }).values
  }
}
