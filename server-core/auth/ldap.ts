/**
 * Authentication by a directory: find the user's entry as ourselves, then bind as the user (RFC 4513 §5.1). The password is
 * the directory's to judge. Only its answer "success" to that bind is a yes.
 */
import type { Logger } from '../log.ts'
import { nodeprep } from '../xmpp/stringprep.ts'
import { textOf } from '../xmpp/utf8.ts'
import type { AuthBackend, Verdict } from './backend.ts'
import { Changes } from './ldap/changes.ts'
import { type Deadline, deadlineIn } from './ldap/deadline.ts'
import { Directory } from './ldap/directory.ts'
import { type Located, Locator, type Who } from './ldap/locate.ts'
import { NoAnswer } from './ldap/no-answer.ts'
import { type LdapOptions, ldapComplaints } from './ldap/options.ts'
import { bindVerdict, codes, inWords } from './ldap/result-code.ts'
import type { Server } from './ldap/server.ts'

export {
  type LdapOptions,
  type LdapOptionsSaid,
  ldapComplaints,
  ldapFields,
  ldapOptions,
} from './ldap/options.ts'

export interface ServerHealth {
  readonly server: string
  /** What is wrong and what to do about it; undefined when all is well. */
  readonly problem: string | undefined
}

export interface LdapBackend extends AuthBackend {
  /** Connects to each server anew, logs in as ldap_rootdn and looks at ldap_base. */
  health(signal: AbortSignal): Promise<readonly ServerHealth[]>
  close(): Promise<void>
}

const maxPasswordBytes = 4_096
const maxUserBytes = 1_023

/** Throws an Error with a sentence for the administrator when the options do not fit together. */
export function ldapBackend(options: LdapOptions, log: Logger): LdapBackend {
  const complaints = ldapComplaints(options)
  if (complaints.length > 0) throw new Error(complaints.join('; '))
  const directory = new Directory(options, log)
  const locator = new Locator(options, log)
  const changes = new Changes(options, log)
  const deadline = (signal: AbortSignal) => deadlineIn(options.ldap_timeout, signal)

  async function locate(who: Who, limit: Deadline): Promise<Located> {
    return await directory.ask(limit, (server) => locator.inDirectory(server, who, limit))
  }

  async function logIn(server: Server, who: Who, password: string, limit: Deadline): Promise<Verdict> {
    const began = performance.now()
    const located = await locator.toLogIn(server, who, limit)
    const searched = performance.now()
    const entry = typeof located === 'string' ? located : located.dn
    log.debug({ server: server.name, entry, ms: searched - began }, 'the entry of the user')
    if (typeof located === 'string') {
      await server.refusals.wait(began, limit)
      return { ok: false, reason: located }
    }
    const result = await server.asUser(limit, (connection) => connection.bind(located.dn, password, limit))
    log.debug({ result: inWords(result), ms: performance.now() - searched }, 'the bind as the user')
    const verdict = bindVerdict(result)
    if (!verdict.ok) server.refusals.refused(performance.now() - began)
    if (!verdict.ok && result.code !== codes.invalidCredentials) {
      log.info({ ...who, entry: located.dn, result: inWords(result) }, 'the directory refuses the login')
    }
    return verdict
  }

  async function checkHealth(server: Server, signal: AbortSignal): Promise<ServerHealth> {
    try {
      const limit = deadline(signal)
      const connection = await server.openBound(limit)
      try {
        return { server: server.name, problem: await locator.problem(connection, limit) }
      } finally {
        connection.destroy()
      }
    } catch (error) {
      if (error instanceof NoAnswer) return { server: server.name, problem: error.message }
      throw error
    }
  }

  const backend: LdapBackend = {
    async checkPassword(user, host, password, signal) {
      // Before any traffic: a bind with an empty password succeeds for everybody (RFC 4513 §5.1.2).
      const text = passwordText(password)
      if (!isPossible(user)) return { ok: false, reason: 'unknown' }
      if (text === undefined) return { ok: false, reason: 'wrong', maybeUnknown: true }
      const limit = deadline(signal)
      return await directory.ask(limit, (server) => logIn(server, { user, host }, text, limit))
    },
    async checkNobody(_host, password, signal) {
      if (passwordText(password) === undefined) return
      await directory.preferred?.refusals.wait(performance.now(), deadline(signal))
    },
    async accountExists(user, host, signal) {
      return isPossible(user) && typeof (await locate({ user, host }, deadline(signal))) !== 'string'
    },
    async created(user, host, signal) {
      const limit = deadline(signal)
      if (!isPossible(user)) return undefined
      return await directory.ask(limit, (server) => locator.created(server, { user, host }, limit))
    },
    async health(signal) {
      return await Promise.all(directory.servers.map((server) => checkHealth(server, signal)))
    },
    async close() {
      directory.close()
    },
  }
  if (options.ldap_writes.includes('setpass')) {
    backend.setPassword = async (user, host, password, signal) => {
      const text = passwordText(password)
      if (!isPossible(user)) return { ok: false, reason: 'unknown' }
      if (text === undefined) return { ok: false, reason: 'refused' }
      const limit = deadline(signal)
      const located = await locate({ user, host }, limit)
      if (typeof located === 'string') return { ok: false, reason: located }
      return await directory.change(limit, (server) => changes.setPassword(server, located.dn, text, limit))
    }
  }
  if (options.ldap_writes.includes('tryregister')) {
    backend.register = async (user, host, password, signal) => {
      const text = passwordText(password)
      if (!isPossible(user) || text === undefined) return { ok: false, reason: 'refused' }
      const limit = deadline(signal)
      // The name is looked for everywhere, as the new entry only takes one place.
      if ((await locate({ user, host }, limit)) !== 'unknown') return { ok: false, reason: 'exists' }
      return await directory.change(limit, (server) => changes.add(server, { user, host }, text, limit))
    }
  }
  if (options.ldap_writes.includes('removeuser')) {
    backend.remove = async (user, host, signal) => {
      if (!isPossible(user)) return { ok: false, reason: 'unknown' }
      const limit = deadline(signal)
      const located = await locate({ user, host }, limit)
      if (typeof located === 'string') return { ok: false, reason: located }
      return await directory.change(limit, (server) => changes.remove(server, located.dn, limit))
    }
  }
  return backend
}

/** What is not prepared (RFC 6122 §2.3) could be another spelling of a name that the directory knows. */
function isPossible(user: string): boolean {
  return user !== '' && Buffer.byteLength(user) <= maxUserBytes && nodeprep(user) === user
}

/** Undefined for what no directory can have as a password: it takes text, and some servers stop at a NUL. */
function passwordText(password: Buffer): string | undefined {
  if (password.length === 0 || password.length > maxPasswordBytes || password.includes(0)) return undefined
  return textOf(password)
}
