/** `account add|passwd|list|disable|enable|remove|app-password`: the accounts of an SQLite file, while servers use it or not. */
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import type { Verdict } from '../../server-core/auth/backend.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { createLogger } from '../../server-core/log.ts'
import { StorageUnavailable } from '../../server-core/storage/storage.ts'
import { parseJid, prepareHost } from '../../server-core/xmpp/jid.ts'
import type { AddCommand, ExtauthContext } from '../context.ts'
import { loadPlan } from '../load-plan.ts'
import { type Flags, UsageError } from '../options.ts'
import { Deployment } from '../plan.ts'
import { askPassword, confirm } from '../prompt.ts'
import { SqliteBackend } from '../sqlite.ts'
import { type Account, Refusal, timeout } from './account-of.ts'
import { addAppPasswords } from './app-password.ts'

interface OwnFlags {
  readonly yes?: true
}

export const account: AddCommand = (program, context, done) => {
  const group = program.command('account').description('add, change, list and remove accounts').exitOverride()

  const add = (
    name: string,
    doc: string,
    act: (one: Account, context: ExtauthContext, own: OwnFlags) => Promise<string>,
  ): Command => {
    return group
      .command(`${name} <jid>`)
      .description(doc)
      .action(async (jid: string, own: OwnFlags, command: Command) => {
        done(
          await carryOut(context, command.optsWithGlobals<Flags>(), (deployment) => {
            return act(find(deployment, jid, context.uid), context, own)
          }),
        )
      })
  }

  add('add', 'make an account; asks for its password, or reads the first line of standard input', addAccount)
  add('passwd', 'change the password of an account; asks for it as add does', changePassword)
  add('disable', 'let nobody log in to an account; it stays', async ({ jid, user, host, accounts }) => {
    return known(jid, await accounts.disable(user, host), 'is disabled')
  })
  add('enable', 'let the owner of an account log in again', async ({ jid, user, host, accounts }) => {
    return known(jid, await accounts.enable(user, host), 'is enabled')
  })
  add('remove', 'remove an account and everything that is kept for it', removeAccount).option(
    '-y, --yes',
    'do not ask whether to go on; where nobody is at a terminal it is not asked anyway',
  )

  addAppPasswords(group, context, (flags, jid, act) =>
    carryOut(context, flags, (deployment) => act(find(deployment, jid, context.uid))).then(done),
  )

  group
    .command('list [host]')
    .description('list the accounts of a host, or of all, one a line')
    .action(async (host: string | undefined, _own: object, command: Command) => {
      done(
        await carryOut(context, command.optsWithGlobals<Flags>(), (deployment) =>
          list(deployment, host, context),
        ),
      )
    })
}

async function addAccount({ jid, user, host, accounts }: Account, context: ExtauthContext): Promise<string> {
  if (await accounts.get(user, host)) throw new Refusal(`${jid} exists already`)
  const password = await newPassword(context, jid)
  const verdict = await accounts.create(user, host, password, AbortSignal.timeout(timeout))
  if (verdict.ok) return `${jid} is added`
  throw new Refusal(verdict.reason === 'exists' ? `${jid} exists already` : unusablePassword)
}

async function changePassword(
  { jid, user, host, accounts }: Account,
  context: ExtauthContext,
): Promise<string> {
  if (!(await accounts.get(user, host))) throw new Refusal(`there is no account ${jid}`)
  const password = await newPassword(context, jid)
  const verdict = await accounts.setPassword(user, host, password, AbortSignal.timeout(timeout))
  if (verdict.ok) return `the password of ${jid} is changed`
  throw new Refusal(verdict.reason === 'unknown' ? `there is no account ${jid}` : unusablePassword)
}

async function removeAccount(
  { jid, user, host, accounts }: Account,
  context: ExtauthContext,
  own: OwnFlags,
): Promise<string> {
  if (!(await accounts.get(user, host))) throw new Refusal(`there is no account ${jid}`)
  const isSure = own.yes === true || (await confirm(context, `Remove ${jid} and all that is kept for it?`))
  if (!isSure) throw new Refusal('nothing was removed')
  return known(jid, await accounts.remove(user, host), 'is removed')
}

const unusablePassword =
  'this cannot be a password: it has more than 4096 bytes, or characters that cannot be typed'

async function newPassword(context: ExtauthContext, jid: string): Promise<Buffer> {
  const password = await askPassword(context, `Password for ${jid}`)
  if (password === undefined)
    throw new Refusal('no password was given: type it, or give it as the first line of standard input')
  return password
}

function known(jid: string, verdict: Verdict, done: string): string {
  if (verdict.ok) return `${jid} ${done}`
  throw new Refusal(`there is no account ${jid}`)
}

async function list(
  deployment: Deployment,
  host: string | undefined,
  context: ExtauthContext,
): Promise<string> {
  const wanted = host === undefined ? undefined : prepareHost(host)
  if (host !== undefined && wanted === undefined) throw new Refusal(`'${host}' is not a host name`)
  const backends = deployment.plan.backends.flatMap(({ backend }) =>
    backend instanceof SqliteBackend ? [backend] : [],
  )
  const [first] = backends
  if (first === undefined) throw new Refusal(noDatabase)
  checkOwner(first.file, context.uid)
  const out = context.openAnswers().stream
  for (const one of wanted === undefined ? await first.accounts.hosts() : [wanted]) {
    for await (const user of first.accounts.list(one)) {
      const standing = await first.accounts.standing(user, one)
      const line = `${user}@${one}${standing.ok ? '' : '\tdisabled'}\n`
      if (!out.write(line)) await new Promise((resolve) => out.once('drain', resolve))
    }
  }
  return ''
}

const noDatabase = 'account works on an SQLite file: give --sqlite FILE, or --gatehouse FILE'

/** Throws Refusal. */
function find(deployment: Deployment, text: string, uid: number | undefined): Account {
  const jid = parseJid(text)
  if (jid === undefined || jid.user === '' || jid.resource !== '') {
    throw new Refusal(`'${text}' is not an account: write it as user@host`)
  }
  const { plan } = deployment
  const chain = plan.hosts === undefined ? plan.backends.map(({ name }) => name) : plan.hosts.get(jid.host)
  if (chain === undefined)
    throw new Refusal(`${jid.host} is not served: hosts are ${deployment.hosts?.join(', ')}`)
  const backend = plan.backends.find(
    (one) => chain.includes(one.name) && one.backend instanceof SqliteBackend,
  )?.backend
  if (!(backend instanceof SqliteBackend)) throw new Refusal(noDatabase)
  checkOwner(backend.file, uid)
  return { jid: `${jid.user}@${jid.host}`, user: jid.user, host: jid.host, accounts: backend.accounts }
}

/** Files that root makes beside the database would lock its owner out. */
function checkOwner(file: string, uid: number | undefined): void {
  if (uid === undefined) return
  const owner = statSync(file, { throwIfNoEntry: false })?.uid
  const folderOwner = statSync(dirname(file), { throwIfNoEntry: false })?.uid
  const expected = owner ?? (uid === 0 ? folderOwner : undefined)
  if (expected === undefined || expected === uid) return
  throw new Refusal(`${file} belongs to user id ${expected}, run this as that user: sudo -u '#${expected}' …`)
}

async function carryOut(
  context: ExtauthContext,
  flags: Flags,
  act: (deployment: Deployment) => Promise<string>,
): Promise<number> {
  const log = await createLogger({ level: 'error', file: flags.logFile, pretty: false })
  let deployment: Deployment | undefined
  try {
    deployment = new Deployment(await loadPlan(flags, log), log)
    const said = await act(deployment)
    if (said !== '') context.openAnswers().stream.write(`${said}\n`)
    return 0
  } catch (error) {
    if (error instanceof UsageError) throw error
    const isKnown =
      error instanceof Refusal || error instanceof StorageUnavailable || error instanceof BackendUnavailable
    if (!isKnown && !(error instanceof Error)) throw error
    context.stderr.write(`gatehouse-extauth: ${(error as Error).message}\n`)
    return 1
  } finally {
    await deployment?.close()
  }
}
