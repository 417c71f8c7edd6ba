/** Submod `accounts`: passwords, and accounts that are closed for a while. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { plainText } from '../../accounts/formats/plain.ts'
import { CommandError, type CommandSpec, defineCommand } from '../../extend/command.ts'
import { prepareHost } from '../../xmpp/jid.ts'
import type { AdminServer } from '../admin-server.ts'
import type { Row } from '../control-protocol.ts'
import { unhurried } from '../unhurried.ts'
import {
  type Account,
  authDeadline,
  doesNotExist,
  existingAccount,
  findAccount,
  kickReason,
  sessionsOf,
} from './account.ts'
import { host, newSecret, secret, user, word } from './arguments.ts'
import { dateText } from './last.ts'

/** Names of hash methods, as the originals have them, and Node's. */
const hashMethods: Readonly<Record<string, string>> = {
  md5: 'md5',
  sha: 'sha1',
  sha1: 'sha1',
  sha224: 'sha224',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
}

export function accountCommands(server: AdminServer): readonly CommandSpec[] {
  const category = 'accounts'
  const tags = ['accounts']
  return [
    defineCommand({
      name: 'ban_account',
      doc: 'Ban an account: end its sessions and refuse its logins; the password stays',
      category,
      tags,
      args: { user: user(), host: host(), reason: word('why; the client is told') },
      result: { kind: 'restuple' },
      example: 'ban_account alice localhost "Sent spam"',
      destroys: 'one',
      async run(args, caller) {
        const account = await toBeBanned(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        const ban = { since: Math.floor(Date.now() / 1_000), reason: args.reason, by: caller.login }
        if (!(await server.storage.accounts.setBan(account.user, account.host, ban))) {
          throw new CommandError(
            `The account ${args.user}@${args.host} is kept outside of this server, so it must be closed there`,
          )
        }
        const reason = kickReason(args.reason)
        await server.hooks.run('sm_kick_user', account.host, { user: account.user, host: account.host })
        for (const session of sessionsOf(server, account.user, account.host)) {
          session.tell({ type: 'banned', reason })
        }
        const text = `User ${args.user}@${args.host} successfully banned with reason: ${args.reason}`
        return { ok: true, text }
      },
      async preview(args, caller) {
        const account = await toBeBanned(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        const sessions = sessionsOf(server, args.user, args.host).length
        return {
          ok: true,
          text: `User ${args.user}@${args.host} would be banned, ${sessions} sessions would end`,
        }
      },
    }),
    defineCommand({
      name: 'change_password',
      doc: 'Change the password of an account',
      category,
      tags,
      args: { user: user(), host: host(), newpass: newSecret('the new password') },
      result: { kind: 'restuple' },
      example: 'change_password alice localhost "new secret"',
      async run(args, caller) {
        if (args.newpass === '') throw new CommandError('empty_password')
        const account = wellFormed(server, args.user, args.host)
        if (!account) return doesNotExist(args.user, args.host)
        const deadline = authDeadline(caller.signal)
        if (!(await account.auth.exists(account.user, deadline))) return doesNotExist(args.user, args.host)
        const verdict = await account.auth.setPassword(account.user, Buffer.from(args.newpass), deadline)
        if (!verdict.ok && verdict.reason === 'unknown') return doesNotExist(args.user, args.host)
        if (!verdict.ok) throw new CommandError('not_allowed')
        await server.hooks.run('set_password', account.host, { user: account.user, host: account.host })
        return { ok: true, text: `Password for user ${args.user}@${args.host} successfully changed` }
      },
    }),
    defineCommand({
      name: 'check_account',
      doc: 'Check if an account exists or not',
      category,
      tags,
      args: { user: user(), host: host() },
      result: { kind: 'restuple' },
      example: 'check_account alice localhost',
      async run(args, caller) {
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        return account
          ? { ok: true, text: `User ${args.user}@${args.host} exists` }
          : doesNotExist(args.user, args.host)
      },
    }),
    defineCommand({
      name: 'check_password',
      doc: 'Check if a password is correct',
      category,
      tags,
      args: { user: user(), host: host(), password: secret('the password to check') },
      result: { kind: 'restuple' },
      example: 'check_password alice localhost secret',
      async run(args, caller) {
        const start = `Password for user ${args.user}@${args.host} is`
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return { ok: false, text: `${start} incorrect because this user does not exist` }
        const password = Buffer.from(args.password)
        const verdict = await account.auth.checkPassword(account.user, password, authDeadline(caller.signal))
        // The password of a closed account is told from a wrong one only when it is right.
        if (verdict.ok || verdict.reason === 'disabled' || verdict.reason === 'expired')
          return { ok: true, text: `${start} correct` }
        return { ok: false, text: `${start} incorrect` }
      },
    }),
    defineCommand({
      name: 'check_password_hash',
      doc: 'Check if the hash of a password is correct',
      category,
      tags,
      args: {
        user: user(),
        host: host(),
        passwordhash: secret('the hash, in hexadecimal digits'),
        hashmethod: word(Object.keys(hashMethods).join(', '), Object.keys(hashMethods)),
      },
      result: { kind: 'restuple' },
      example: 'check_password_hash alice localhost 5ebe2294ecd0e0f08eab7690d2a6ee69 md5',
      async run(args, caller) {
        const method = Object.hasOwn(hashMethods, args.hashmethod) ? hashMethods[args.hashmethod] : undefined
        if (method === undefined) throw new CommandError('Hash for password is undefined')
        const account = await existingAccount(server, args.user, args.host, caller.signal)
        if (!account) return doesNotExist(args.user, args.host)
        const credentials = await server.storage.accounts.credentials(account.user, account.host)
        const plain = credentials.find(({ label, format }) => label === '' && format === 'plain')
        if (!plain) {
          throw new CommandError(
            `The stored password of ${args.user}@${args.host} is hashed, it cannot be compared with another hash`,
          )
        }
        const isRight = isHashOf(plainText(plain.value), args.passwordhash, method)
        return { ok: isRight, text: `Password hash is ${isRight ? 'correct' : 'incorrect'}` }
      },
    }),
    defineCommand({
      name: 'get_ban_details',
      doc: 'Get why an account is banned, since when, and by whom',
      category,
      tags,
      args: { user: user(), host: host() },
      result: {
        kind: 'list',
        columns: [
          { name: 'name', type: 'string' },
          { name: 'value', type: 'string' },
        ],
      },
      example: 'get_ban_details alice localhost',
      async run(args) {
        const account = findAccount(server, args.user, args.host)
        const record = account && (await server.storage.accounts.get(account.user, account.host))
        if (!record) throw new CommandError(doesNotExist(args.user, args.host).text)
        if (!record.ban) return []
        const { reason, since, by } = record.ban
        return [
          ['reason', reason],
          ['bandate', dateText(since)],
          ['by', by],
        ]
      },
    }),
    defineCommand({
      name: 'count_banned',
      doc: 'Get the number of banned accounts of a host',
      category,
      tags,
      args: { host: host('host of the accounts') },
      result: { kind: 'integer', name: 'count' },
      example: 'count_banned localhost',
      async run(args) {
        let count = 0
        for await (const _ of banned(server, args.host)) count++
        return count
      },
    }),
    defineCommand({
      name: 'list_banned',
      doc: 'List the banned accounts of a host',
      category,
      tags,
      args: { host: host('host of the accounts') },
      result: {
        kind: 'list',
        columns: [
          { name: 'user', type: 'string' },
          { name: 'bandate', type: 'string' },
          { name: 'by', type: 'string' },
          { name: 'reason', type: 'string' },
        ],
      },
      example: 'list_banned localhost',
      run: (args) => banned(server, args.host),
    }),
    defineCommand({
      name: 'unban_account',
      doc: 'Lift the ban of an account',
      category,
      tags,
      args: { user: user(), host: host() },
      result: { kind: 'restuple' },
      example: 'unban_account alice localhost',
      async run(args) {
        const account = findAccount(server, args.user, args.host)
        const record = account && (await server.storage.accounts.get(account.user, account.host))
        if (!record) return doesNotExist(args.user, args.host)
        if (!record.ban) return { ok: false, text: `User ${args.user}@${args.host} is not banned` }
        await server.storage.accounts.setBan(record.user, record.host, undefined)
        return { ok: true, text: `User ${args.user}@${args.host} is no longer banned` }
      },
    }),
  ]
}

/** undefined when the host is not ours; throws CommandError when the names cannot be an address at all. */
function wellFormed(server: AdminServer, name: string, hostName: string): Account | undefined {
  const account = findAccount(server, name, hostName)
  const prepared = prepareHost(hostName)
  if (!account && (prepared === undefined || server.hosts.includes(prepared))) {
    throw new CommandError('invalid_jid')
  }
  return account
}

/** The account if it exists; throws CommandError when there can be none of that name. */
async function toBeBanned(
  server: AdminServer,
  name: string,
  hostName: string,
  signal: AbortSignal,
): Promise<Account | undefined> {
  return wellFormed(server, name, hostName) && existingAccount(server, name, hostName, signal)
}

async function* banned(server: AdminServer, hostName: string): AsyncGenerator<Row> {
  const prepared = prepareHost(hostName)
  if (prepared === undefined || !server.hosts.includes(prepared)) return
  for await (const name of unhurried(server.storage.accounts.list(prepared))) {
    const ban = (await server.storage.accounts.get(name, prepared))?.ban
    if (ban) yield [name, dateText(ban.since), ban.by, ban.reason]
  }
}

/** Hexadecimal in any case, or as mongooseimctl compared it: upper case, bytes below 16 as one digit. */
function isHashOf(password: string, hash: string, method: string): boolean {
  const digest = createHash(method).update(password).digest()
  const legacy = [...digest].map((byte) => byte.toString(16).toUpperCase()).join('')
  return isEqual(hash.toLowerCase(), digest.toString('hex')) || isEqual(hash, legacy)
}

function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}
