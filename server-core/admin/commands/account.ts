/** How commands find the account or the session that they are about. */
import type { Authenticator } from '../../auth/authenticator.ts'
import { CommandError } from '../../extend/command.ts'
import type { Session } from '../../routing/session.ts'
import { makeJid, prepareHost, prepareResource, prepareUser } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'

export interface Account {
  readonly user: string
  readonly host: string
  readonly auth: Authenticator
}

/** The prepared names with the host's authenticator; undefined when they cannot be an account of this server. */
export function findAccount(server: AdminServer, user: string, host: string): Account | undefined {
  const preparedUser = prepareUser(user)
  const preparedHost = prepareHost(host)
  if (preparedUser === undefined || preparedHost === undefined) return undefined
  const auth = server.authenticator(preparedHost)
  return auth && { user: preparedUser, host: preparedHost, auth }
}

/** The same if the account exists. */
export async function existingAccount(
  server: AdminServer,
  user: string,
  host: string,
  signal: AbortSignal,
): Promise<Account | undefined> {
  const account = findAccount(server, user, host)
  return account && (await account.auth.exists(account.user, authDeadline(signal))) ? account : undefined
}

/** The same for commands to which a missing account is an error; rejects with CommandError. */
export async function neededAccount(
  server: AdminServer,
  user: string,
  host: string,
  signal: AbortSignal,
): Promise<Account> {
  const account = await existingAccount(server, user, host, signal)
  if (!account) throw new CommandError(doesNotExist(user, host).text)
  return account
}

/** `{ok: false}` with the sentence that all commands have for it. */
export function doesNotExist(user: string, host: string): { ok: false; text: string } {
  return { ok: false, text: `User ${user}@${host} does not exist` }
}

/** To be thrown where a host has to be one of ours. */
export function notServed(server: AdminServer, host: string): CommandError {
  return new CommandError(`'${host}' is not a host of this server (${server.hosts.join(', ')})`)
}

/** The sessions of an account by resource; none when the names are no account. */
export function sessionsOf(server: AdminServer, user: string, host: string): readonly Session[] {
  const preparedUser = prepareUser(user)
  const preparedHost = prepareHost(host)
  if (preparedUser === undefined || preparedHost === undefined) return []
  return server.sessions.ofUser(preparedUser, preparedHost)
}

export function sessionOf(
  server: AdminServer,
  user: string,
  host: string,
  resource: string,
): Session | undefined {
  const preparedUser = prepareUser(user)
  const preparedHost = prepareHost(host)
  const preparedResource = prepareResource(resource)
  if (preparedUser === undefined || preparedHost === undefined || preparedResource === undefined)
    return undefined
  return server.sessions.find(makeJid(preparedUser, preparedHost, preparedResource))
}

/** What the client is told when the administrator gave no reason. */
export function kickReason(reason: string): string {
  return reason === '' ? 'Kicked by administrator' : reason
}

/** No command waits longer than this for what authenticates. */
const authTimeout = 30_000

export function authDeadline(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(authTimeout)])
}
