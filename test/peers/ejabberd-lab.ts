/** What the suites with ejabberd share: a login as a client sees it, commands through the HTTP API, the program's processes. */
import { readdirSync, readFileSync } from 'node:fs'
import { SaslFailure, TestClient } from '../harness/client.ts'
import type { Ejabberd } from '../harness/ejabberd.ts'

/** `in`, or the condition of the refusal. */
export async function login(ejabberd: Ejabberd, jid: string, password: string): Promise<string> {
  const at = jid.lastIndexOf('@')
  try {
    const client = await TestClient.login({
      port: ejabberd.port,
      tls: 'none',
      mechanism: 'PLAIN',
      user: jid.slice(0, at),
      domain: jid.slice(at + 1),
      password,
    })
    await client.close()
    return 'in'
  } catch (error) {
    if (error instanceof SaslFailure) return error.condition
    throw error
  }
}

/** What a command answers: its value, or `status: text` when it failed. */
export async function command(
  ejabberd: Ejabberd,
  name: string,
  args: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const response = await ejabberd.call(name, args)
  const text = await response.text()
  return response.ok ? JSON.parse(text) : `${response.status}: ${text}`
}

/** Processes of the program whose command line has this text; the shells that start them are not meant. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const line = /^\d+$/.test(name) ? readFileSync(`/proc/${name}/cmdline`, 'utf8') : ''
      return line.includes('gatehouse-extauth-main') && line.includes(text) ? [Number(name)] : []
    } catch {
      return [] // it ended meanwhile
    }
  })
}
