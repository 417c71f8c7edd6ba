/** Which entry of the directory is a user's, and whether that user may come in. */
import type { Logger } from '../../log.ts'
import { BackendUnavailable } from '../backend.ts'
import type { Connection } from './client.ts'
import type { Deadline } from './deadline.ts'
import { escapeDnValue } from './dn.ts'
import { type Filter, fillFilter } from './filter.ts'
import type { LdapOptions } from './options.ts'
import type { Entry } from './response.ts'
import { codes, failure, inWords } from './result-code.ts'
import type { Server } from './server.ts'
import { fill } from './template.ts'
import { names, uidFilter } from './uids.ts'

/** The name to bind with, or why there is none. */
export type Located = { readonly dn: string } | 'unknown' | 'refused'

export interface Who {
  readonly user: string
  readonly host: string
}

const anything: Filter = { is: 'present', attribute: 'objectClass' }

/** What cannot be in an account's name of Active Directory, and could mean somebody else in user@domain. */
const notInAccountName = /["/\\[\]:;|=,+*?<>@]/

export class Locator {
  readonly #options: LdapOptions
  readonly #log: Logger
  /** Attributes that an entry is asked for: none of them is a secret. */
  readonly #attributes: readonly string[]

  constructor(options: LdapOptions, log: Logger) {
    this.#options = options
    this.#log = log
    this.#attributes = [
      ...new Set([
        ...options.ldap_uids.map(({ attribute }) => attribute),
        ...(options.ldap_dn_filter?.attributes ?? []),
      ]),
    ]
  }

  /** For a login. A template makes the search unnecessary, unless there are filters. */
  async toLogIn(server: Server, who: Who, deadline: Deadline): Promise<Located> {
    const { ldap_bind_dn_template: bind, ldap_filter, ldap_dn_filter } = this.#options
    if (bind === undefined) return await this.inDirectory(server, who, deadline)
    if (!bind.isDn) {
      if (notInAccountName.test(who.user)) return 'unknown'
      return { dn: fill(bind.template, who) ?? '' }
    }
    if (ldap_filter === undefined && ldap_dn_filter === undefined) return { dn: this.#templateDn(who) }
    return await this.inDirectory(server, who, deadline)
  }

  /** The entry as the directory has it. */
  async inDirectory(server: Server, who: Who, deadline: Deadline): Promise<Located> {
    const { ldap_bind_dn_template: bind } = this.#options
    return await server.asService(deadline, async (connection) => {
      const entry = bind?.isDn
        ? await this.#read(connection, who, deadline)
        : await this.#search(connection, who, deadline)
      if (typeof entry === 'string') return entry
      const mayPass = await this.#passes(connection, entry, who, deadline)
      return mayPass ? { dn: entry.dn } : 'refused'
    })
  }

  /** Unix time in seconds at which the entry was made; undefined when the directory does not say. */
  async created(server: Server, who: Who, deadline: Deadline): Promise<number | undefined> {
    const located = await this.inDirectory(server, who, deadline)
    if (typeof located === 'string') return undefined
    const attributes = ['createTimestamp', 'whenCreated']
    const { entries } = await server.asService(deadline, (connection) =>
      connection.search(
        { base: located.dn, scope: 'base', filter: anything, attributes, deref: 'never' },
        deadline,
      ),
    )
    const times = attributes.flatMap((name) => entries.flatMap((entry) => firstValue(entry, name) ?? []))
    return times.length === 0 ? undefined : unixTime(times[0] ?? '')
  }

  /** What is wrong with ldap_base, or with what we may see of it; undefined when it can be searched. */
  async problem(connection: Connection, deadline: Deadline): Promise<string | undefined> {
    const { ldap_base: base, ldap_bind_dn_template: bind } = this.#options
    const { entries, result } = await connection.search(
      { base, scope: 'base', filter: anything, attributes: ['1.1'], deref: 'never' },
      deadline,
    )
    // Without a search nobody needs to see it.
    if (bind !== undefined || (result.code === codes.success && entries.length > 0)) return undefined
    if (result.code === codes.noSuchObject || result.code === codes.success) {
      return notThere(base)
    }
    return `ldap_base '${base}' cannot be searched: ${inWords(result)}`
  }

  #templateDn(who: Who): string {
    return fill(this.#options.ldap_bind_dn_template?.template ?? [], who, escapeDnValue) ?? ''
  }

  async #read(connection: Connection, who: Who, deadline: Deadline): Promise<Entry | 'unknown'> {
    const base = this.#templateDn(who)
    const { ldap_filter } = this.#options
    const filter = ldap_filter === undefined ? anything : fillFilter(ldap_filter, who)
    if (filter === undefined) return 'unknown'
    const { entries, result } = await connection.search(
      { base, scope: 'base', filter, attributes: this.#attributes, deref: this.#options.ldap_deref_aliases },
      deadline,
    )
    if (result.code === codes.noSuchObject) return 'unknown'
    if (result.code !== codes.success) throw failure('the entry cannot be read', result)
    // The name stays the one that we made: an alias could lead anywhere.
    const [entry] = entries
    return entry === undefined ? 'unknown' : { ...entry, dn: base }
  }

  async #search(
    connection: Connection,
    who: Who,
    deadline: Deadline,
  ): Promise<Entry | 'unknown' | 'refused'> {
    const { ldap_base: base, ldap_uids: uids, ldap_filter, ldap_deref_aliases: deref } = this.#options
    const own = uidFilter(uids, who.user, who.host)
    const other = ldap_filter === undefined ? undefined : fillFilter(ldap_filter, who)
    if (ldap_filter !== undefined && other === undefined) return 'unknown'
    const filter: Filter = other === undefined ? own : { is: 'and', of: [own, other] }
    const { entries, result } = await connection.search(
      { base, scope: 'sub', filter, attributes: this.#attributes, deref },
      deadline,
    )
    if (result.code === codes.noSuchObject) throw new BackendUnavailable(notThere(base))
    if (result.code !== codes.success && result.code !== codes.sizeLimitExceeded) {
      throw failure(`the search below '${base}' failed`, result)
    }
    const [entry, second] = entries
    if (second !== undefined || result.code === codes.sizeLimitExceeded) {
      this.#log.error({ ...who, result: inWords(result) }, 'several entries match one user: nobody is let in')
      return 'refused'
    }
    if (entry === undefined) return 'unknown'
    switch (names(entry, uids, who.user, who.host)) {
      case 'this user':
        return entry
      case 'another user':
        this.#log.info({ ...who, entry: entry.dn }, 'the directory found an entry that is not of this user')
        return 'unknown'
      case 'hidden': {
        const attributes = uids.map(({ attribute }) => attribute).join(', ')
        throw new BackendUnavailable(
          `the directory does not show ${attributes} of ${entry.dn}: ldap_rootdn must be allowed to read that`,
        )
      }
    }
  }

  /** ldap_dn_filter: a search of its own that has to find something. */
  async #passes(connection: Connection, entry: Entry, who: Who, deadline: Deadline): Promise<boolean> {
    const { ldap_dn_filter: second, ldap_base: base, ldap_deref_aliases: deref } = this.#options
    if (second === undefined) return true
    const values = second.attributes.flatMap((name) => firstValue(entry, name) ?? [])
    const filter = fillFilter(second.template, { ...who, dn: entry.dn, values })
    if (filter === undefined || values.length < second.attributes.length) return false
    const { entries, result } = await connection.search(
      { base, scope: 'sub', filter, attributes: ['1.1'], deref },
      deadline,
    )
    if (result.code !== codes.success && result.code !== codes.sizeLimitExceeded) {
      throw failure('the search of ldap_dn_filter failed', result)
    }
    return entries.length > 0
  }
}

function notThere(base: string): string {
  return `ldap_base '${base}' is not in the directory, or ldap_rootdn may not see it (32)`
}

/** RFC 4517 §3.3.13, in UTC as directories give it. */
function unixTime(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:[.,]\d+)?Z$/.exec(text)
  if (match === null) return undefined
  const [year = 0, month = 0, day, hour, minute, second] = match.slice(1).map(Number)
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1_000
}

function firstValue(entry: Entry, name: string): string | undefined {
  const attribute = entry.attributes.find(({ type }) => type.toLowerCase() === name.toLowerCase())
  return attribute?.values[0]?.toString('utf8')
}
