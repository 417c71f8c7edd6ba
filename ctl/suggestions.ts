/** What an argument that is asked for may be: the hosts, the resources of the user who was named before. */
import {
  type ArgumentDescription,
  type Description,
  type JsonValue,
  methods,
} from '../server-core/admin/control-protocol.ts'
import type { Client } from './client.ts'

export async function suggestions(
  client: Client,
  description: Description,
  argument: ArgumentDescription,
  given: Readonly<Record<string, JsonValue>>,
): Promise<readonly string[]> {
  if (argument.names === 'host') return description.hosts
  const { user, host } = given
  if (argument.names !== 'resource' || typeof user !== 'string' || typeof host !== 'string') return []
  const reply: unknown = await client.call(methods.complete, { kind: 'resource', prefix: '', user, host })
  return (reply as { values: readonly string[] }).values
}
