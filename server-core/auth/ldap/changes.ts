/** Changes of the directory: a password, a new user, a removed one. Each is sent once. */
import type { Logger } from '../../log.ts'
import { BackendUnavailable, type Verdict } from '../backend.ts'
import type { Connection } from './client.ts'
import { type Deadline, deadlineIn } from './deadline.ts'
import { dnBelow } from './dn.ts'
import type { Who } from './locate.ts'
import type { LdapOptions } from './options.ts'
import type { Result } from './response.ts'
import { changeVerdict, codes, inWords } from './result-code.ts'
import type { Server } from './server.ts'
import { fill } from './template.ts'
import { uidValue } from './uids.ts'

/** A capability that only Active Directory and what imitates it names. */
const activeDirectory = '1.2.840.113556.1.4.800'

const never = new AbortController().signal

export class Changes {
  readonly #options: LdapOptions
  readonly #log: Logger

  constructor(options: LdapOptions, log: Logger) {
    this.#options = options
    this.#log = log
  }

  async setPassword(server: Server, dn: string, password: string, deadline: Deadline): Promise<Verdict> {
    return await server.asService(deadline, async (connection) => {
      const result = await this.#sendPassword(server, connection, dn, password, deadline)
      return this.#judged('the password cannot be changed', dn, result)
    })
  }

  /** 'exists' when there is an entry of that name. */
  async add(server: Server, who: Who, password: string, deadline: Deadline): Promise<Verdict> {
    const { ldap_new_entries: parent = '', ldap_uids: uids, ldap_password_method: method } = this.#options
    const value = uidValue(uids[0], who.user, who.host)
    const dn = dnBelow(uids[0].attribute, value, parent)
    const attributes: Record<string, readonly (string | Buffer)[]> = { [uids[0].attribute]: [value] }
    for (const { name, values } of this.#options.ldap_new_entry_attributes) {
      attributes[name] = values.map((template) => fill(template, who) ?? '')
    }
    if (method === 'unicodePwd') attributes['unicodePwd'] = [unicodePassword(server, password)]
    if (method === 'modify') attributes['userPassword'] = [password]
    return await server.asService(deadline, async (connection) => {
      const added = this.#judged(
        'the user cannot be added',
        dn,
        await connection.add(dn, attributes, deadline),
      )
      // The name cannot be unknown; the place for it can.
      if (!added.ok && added.reason === 'unknown') {
        throw new BackendUnavailable(`ldap_new_entries '${parent}' is not in the directory`)
      }
      if (!added.ok || method === 'unicodePwd' || method === 'modify') return added
      return await this.#finish(server, connection, dn, password, deadline)
    })
  }

  async remove(server: Server, dn: string, deadline: Deadline): Promise<Verdict> {
    return await server.asService(deadline, async (connection) =>
      this.#judged('the user cannot be removed', dn, await connection.delete(dn, deadline)),
    )
  }

  /** The entry is new and has no password. Without one it must not stay: the name would be taken for good. */
  async #finish(
    server: Server,
    connection: Connection,
    dn: string,
    password: string,
    deadline: Deadline,
  ): Promise<Verdict> {
    let isDone = false
    try {
      const result = await this.#sendPassword(server, connection, dn, password, deadline)
      const verdict = this.#judged('the password of a new user cannot be set', dn, result)
      isDone = verdict.ok
      return verdict.ok ? verdict : { ok: false, reason: 'refused' }
    } finally {
      if (!isDone) await this.#takeBack(server, connection, dn)
    }
  }

  async #takeBack(server: Server, used: Connection, dn: string): Promise<void> {
    const deadline = deadlineIn(this.#options.ldap_operation_timeout, never)
    try {
      // Not one of the pool's: that might wait for the one that we hold.
      const connection = used.isOpen ? used : await server.openBound(deadline)
      const result = await connection.delete(dn, deadline)
      if (connection !== used) connection.destroy()
      if (result.code === codes.success || result.code === codes.noSuchObject) return
      this.#log.error({ entry: dn, result: inWords(result) }, 'a new user without a password remains')
    } catch (error) {
      this.#log.error(
        { entry: dn, reason: (error as Error).message },
        'a new user without a password remains',
      )
    }
  }

  async #sendPassword(
    server: Server,
    connection: Connection,
    dn: string,
    password: string,
    deadline: Deadline,
  ): Promise<Result> {
    const method = this.#options.ldap_password_method
    if (method === 'unicodePwd') {
      return await connection.replace(dn, 'unicodePwd', unicodePassword(server, password), deadline)
    }
    if (method === 'modify') return await connection.replace(dn, 'userPassword', password, deadline)
    const result = await connection.modifyPassword(dn, password, deadline)
    // RFC 4511 §4.12: that is how a server says that it does not know the operation.
    if (method === 'exop' || result.code !== codes.protocolError) return result
    if (await isActiveDirectory(connection, deadline)) {
      return await connection.replace(dn, 'unicodePwd', unicodePassword(server, password), deadline)
    }
    return await connection.replace(dn, 'userPassword', password, deadline)
  }

  #judged(what: string, dn: string, result: Result): Verdict {
    const verdict = changeVerdict(what, result)
    if (!verdict.ok) this.#log.info({ entry: dn, result: inWords(result) }, what)
    return verdict
  }
}

/** There userPassword can be an attribute like any other, which everybody may read. */
async function isActiveDirectory(connection: Connection, deadline: Deadline): Promise<boolean> {
  const { entries } = await connection.search(
    {
      base: '',
      scope: 'base',
      filter: { is: 'present', attribute: 'objectClass' },
      attributes: ['supportedCapabilities'],
      deref: 'never',
    },
    deadline,
  )
  return entries.some((entry) =>
    entry.attributes.some(({ values }) => values.some((value) => value.toString() === activeDirectory)),
  )
}

/** MS-ADTS §3.1.1.3.1.5: in quotes, in UTF-16, over TLS only. */
function unicodePassword(server: Server, password: string): Buffer {
  if (server.encryption === 'none') {
    throw new BackendUnavailable(
      'Active Directory takes passwords over TLS only: set ldap_encrypt to starttls or tls',
    )
  }
  return Buffer.from(`"${password}"`, 'utf16le')
}
