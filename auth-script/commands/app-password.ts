/** `account app-password add|list|remove`: several passwords for one account, one for each of its owner's applications. */
import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { maxApplicationPasswords } from '../../server-core/accounts/accounts.ts'
import type { ExtauthContext } from '../context.ts'
import type { Flags } from '../options.ts'
import { askPassword } from '../prompt.ts'
import { type Account, Refusal, timeout } from './account-of.ts'

/** Carries out what is asked of one account, and prints what it gives. */
type Carry = (flags: Flags, jid: string, act: (account: Account) => Promise<string>) => Promise<void>

export function addAppPasswords(account: Command, context: ExtauthContext, carry: Carry): void {
  const group = account
    .command('app-password')
    .description("passwords of single applications beside the account's own, each with a name")
    .exitOverride()
  group
    .command('add <jid> <name>')
    .description('make one and print it; one with this name is replaced')
    .option('--ask', 'ask for it, or read the first line of standard input, instead of making it')
    .action(async (jid: string, label: string, own: { readonly ask?: true }, command: Command) => {
      await carry(command.optsWithGlobals<Flags>(), jid, (one) => add(one, label, own.ask === true, context))
    })
  group
    .command('list <jid>')
    .description('list their names and the day each was made, one a line')
    .action(async (jid: string, _own: object, command: Command) => {
      await carry(command.optsWithGlobals<Flags>(), jid, list)
    })
  group
    .command('remove <jid> <name>')
    .description('let nobody log in with it any more')
    .action(async (jid: string, label: string, _own: object, command: Command) => {
      await carry(command.optsWithGlobals<Flags>(), jid, (one) => remove(one, label))
    })
}

async function add(
  { jid, user, host, accounts }: Account,
  label: string,
  asks: boolean,
  context: ExtauthContext,
): Promise<string> {
  const made = asks ? undefined : newPassword()
  const password =
    made === undefined ? await askPassword(context, `Password of ${label} for ${jid}`) : Buffer.from(made)
  if (password === undefined) {
    throw new Refusal('no password was given: type it, or give it as the first line of standard input')
  }
  const signal = AbortSignal.timeout(timeout)
  const verdict = await accounts.setApplicationPassword(user, host, label, password, signal)
  if (verdict.ok) return made ?? `${jid} has a password for ${label}`
  if (verdict.reason === 'unknown') throw new Refusal(`there is no account ${jid}`)
  throw new Refusal(
    `this cannot be kept: a name has 1 to 64 visible characters, a password up to 4096 bytes that can be typed, and an account ${maxApplicationPasswords} of them`,
  )
}

async function list({ jid, user, host, accounts }: Account): Promise<string> {
  const labels = await accounts.applicationPasswords(user, host)
  if (labels === undefined) throw new Refusal(`there is no account ${jid}`)
  return labels
    .map(({ label, changed }) => `${label}\t${new Date(changed * 1000).toISOString().slice(0, 10)}`)
    .join('\n')
}

async function remove({ jid, user, host, accounts }: Account, label: string): Promise<string> {
  const verdict = await accounts.removeApplicationPassword(user, host, label)
  if (verdict.ok) return `the password of ${label} for ${jid} is removed`
  throw new Refusal(`${jid} has no password for ${label}`)
}

/** Characters that are not taken for one another; 32 of them, so that every byte is as likely as any other. */
const alphabet = 'abcdefghijkmnpqrstuvwxyz23456789'

/** 100 bits, in groups that can be typed from paper. */
function newPassword(): string {
  const characters = [...randomBytes(20)].map((byte) => alphabet[byte % alphabet.length])
  return [0, 5, 10, 15].map((at) => characters.slice(at, at + 5).join('')).join('-')
}
