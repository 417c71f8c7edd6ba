/** One look at everything between an XMPP server and its accounts, section by section. */
import { existsSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { verifyNobody } from '../../server-core/accounts/password.ts'
import { reason } from '../../server-core/config/load-yaml.ts'
import { silentLogger } from '../../server-core/log.ts'
import { prepareHost } from '../../server-core/xmpp/jid.ts'
import type { ExtauthContext } from '../context.ts'
import {
  type Finding,
  formatSection,
  isAnythingWrong,
  ok,
  type Section,
  summary,
  warning,
  wrong,
} from '../findings.ts'
import { healthOf } from '../health.ts'
import { allOperations, type HostKind, hostKinds } from '../host-kind.ts'
import { loadPlan } from '../load-plan.ts'
import { type Flags, UsageError } from '../options.ts'
import { Deployment, type Plan } from '../plan.ts'
import { judgeAppArmor } from './apparmor.ts'
import { readEjabberd } from './ejabberd.ts'
import { readGatehouse } from './gatehouse.ts'
import { judgeAccess, judgeNames } from './judge-accounts.ts'
import { judgeServer } from './judge-server.ts'
import { readMongooseim } from './mongooseim.ts'
import { findPerson, type Person } from './person.ts'
import { advisedSize, judgePools, type Machine } from './pool.ts'
import { judgeNode, judgeProgramLine, shellWord, shellWords, wordsOf } from './program-line.ts'
import type { ServerSettings } from './server-settings.ts'

export interface DoctorFlags extends Flags {
  readonly ejabberd?: string
  readonly mongooseim?: string
  readonly server?: string
  readonly user?: string
}

/** Where packages put it. */
const usualFiles = [
  '/etc/ejabberd/ejabberd.yml',
  '/opt/ejabberd/conf/ejabberd.yml',
  '/usr/local/etc/ejabberd/ejabberd.yml',
]
const usualToml = ['/etc/mongooseim/mongooseim.toml']

/** What systemd gives to services. */
const servicePath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** Exit status: 0 nothing is wrong, 1 something is. */
export async function examine(context: ExtauthContext, flags: DoctorFlags): Promise<number> {
  const server = await readServer(flags)
  const person = personOf(flags, server, context)
  const folder = dirname(fileURLToPath(import.meta.url))
  const machine: Machine = { cpus: availableParallelism(), memory: Math.round(totalmem() / 1_048_576) }
  const sections: Section[] = []
  const out = context.openAnswers().stream
  const show = (section: Section): void => {
    if (section.findings.length === 0) return
    sections.push(section)
    out.write(formatSection(section))
  }

  show(judgeServer(server))
  const line = server.hosts.find(
    ({ methods, program }) => methods.value.includes('external') && program,
  )?.program
  const judged = line && judgeProgramLine(line, person, folder)
  const launcher = shellWords(line?.value ?? '')?.[0] ?? `${folder}/gatehouse-extauth`
  show({
    title: 'program',
    findings: [
      ...(judged?.findings ?? [wrong(`${server.words.program} is not written`, 'add the lines below')]),
      ...(await judgeNode(
        line?.value,
        [...servicePath, resolve(folder, '../../../../bin')],
        person,
        context.node,
      )),
      ...(server.name === 'ejabberd' ? judgeAppArmor(launcher) : []),
    ],
  })

  // What is said here about the accounts counts, else what the server's line says.
  const said = isSourceSaid(flags) ? flags : judged?.flags
  const plan = said && (await planOf(said, show))
  if (plan !== undefined) {
    const deployment = new Deployment(plan, silentLogger())
    try {
      show({
        title: 'answers',
        findings: [
          ...judgeHosts(plan, server),
          ...judgeReply(plan, server),
          ...judgeChanges(plan, deployment, server),
          ...judgeDeadline(plan, server),
        ],
      })
      // Before anything is opened, which can clear away what somebody has left.
      const access = judgeAccess(plan, person)
      for (const section of await healthOf(plan, context.uid)) show(section)
      const hosts = server.hosts.map(({ host }) => host)
      // A backend that is out has been named already.
      const names = await judgeNames(plan, hosts, context.uid).catch(() => [])
      show({ title: 'accounts', findings: [...access, ...names] })
    } finally {
      await deployment.close()
    }
  }
  show(judgePools(server, machine, plan && (await msPerPassword(plan)), judged?.isRelay ?? false))

  const isFine = !isAnythingWrong(sections)
  const isSourceKnown = said !== undefined || judged?.isRelay === true
  if (!isFine || !isSourceKnown) {
    const command = commandFor(`${folder}/gatehouse-extauth`, said ?? flags, server)
    const many = server.hosts.length > 1
    out.write(
      `\nto paste into ${server.file}:\n\n${server.words.paste(command, advisedSize(machine), many)}\n\n`,
    )
  }
  out.write(`${summary(sections)}\n`)
  return isFine ? 0 : 1
}

async function readServer(flags: DoctorFlags): Promise<ServerSettings> {
  const named = [flags.ejabberd, flags.mongooseim, flags.server].filter((file) => file !== undefined)
  if (named.length > 1) throw new UsageError('--ejabberd, --mongooseim and --server exclude each other')
  if (flags.server !== undefined) return readGatehouse(flags.server)
  const ejabberd =
    flags.ejabberd ?? (named.length === 0 ? usualFiles.find((file) => existsSync(file)) : undefined)
  const toml =
    flags.mongooseim ?? (named.length === 0 ? usualToml.find((file) => existsSync(file)) : undefined)
  const file = ejabberd ?? toml
  if (file === undefined) {
    throw new UsageError(
      'there is no server where packages put it: give --ejabberd, --mongooseim or --server FILE',
    )
  }
  try {
    return ejabberd === undefined ? readMongooseim(file) : readEjabberd(file)
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${reason(error)}`)
  }
}

function personOf(flags: DoctorFlags, server: ServerSettings, { uid }: ExtauthContext): Person {
  const found = findPerson(flags.user ?? server.user)
  if (found !== undefined) return found
  if (flags.user !== undefined) throw new UsageError(`there is no user ${flags.user}`)
  return findPerson(String(uid)) ?? { name: 'you', uid: uid ?? 0, gids: [] }
}

function isSourceSaid({ config, gatehouse, sqlite, ldap }: Flags): boolean {
  return [config, gatehouse, sqlite, ldap].some((one) => one !== undefined)
}

async function planOf(flags: Flags, show: (section: Section) => void): Promise<Plan | undefined> {
  try {
    return await loadPlan(flags, silentLogger())
  } catch (error) {
    const remedy = 'gatehouse-extauth check says the same; until then every login is refused'
    show({ title: 'configuration', findings: [wrong((error as Error).message, remedy)] })
    return undefined
  }
}

/** The server may ask for hosts that the configuration of the accounts does not have. */
function judgeHosts({ hosts }: Plan, server: ServerSettings): Finding[] {
  if (hosts === undefined) return []
  const asked = server.hosts.filter(({ methods }) => methods.value.includes('external'))
  return asked
    .filter(({ host }) => !hosts.has(prepareHost(host) ?? host))
    .map(({ host }) =>
      wrong(
        `${host} is asked for and not served: hosts are ${[...hosts.keys()].join(', ')}`,
        `add it to hosts: {${host}: {chain: […]}}`,
      ),
    )
}

/** What the server makes of an outage. */
function judgeReply(plan: Plan, server: ServerSettings): Finding[] {
  const name = plan.hostKind ?? 'ejabberd'
  const kind: HostKind = hostKinds[name]
  const reply = plan.failureReply ?? kind.failureReply
  const needed: HostKind = hostKinds[server.kind]
  if (reply === 'error-frame' && !needed.takesErrorFrames) {
    return [
      wrong(
        `${server.name} stops asking for ever after an error frame`,
        `--host-kind ${server.kind}, and no --failure-reply`,
      ),
    ]
  }
  if (reply === 'deny' && server.kind === 'ejabberd') {
    return [
      warning(
        'ejabberd takes a "no" to a password change for a yes: one that an outage prevents is told as made',
        'add --failure-reply error-frame (ejabberd 18.06 and newer)',
      ),
    ]
  }
  if (reply === 'deny' && server.kind === 'gatehouse') {
    return [warning('an outage is told to users as a wrong password', 'add --host-kind gatehouse')]
  }
  return [
    ok(reply === 'deny' ? 'an outage is answered with no' : 'an outage is told apart from a wrong password'),
  ]
}

/** A change that nothing here can make is refused, which ejabberd since 18.06 tells its users as done. */
function judgeChanges(plan: Plan, deployment: Deployment, server: ServerSettings): Finding[] {
  if (server.kind !== 'ejabberd' || plan.refusedSetpass === 'error-frame') return []
  const isAllowed = (plan.operations ?? allOperations).includes('setpass')
  const canChange = (host: string) =>
    isAllowed && deployment.authenticator(prepareHost(host) ?? host)?.canSetPassword !== false
  const misled = server.hosts.find(
    ({ host, methods, register }) =>
      methods.value.includes('external') && register !== undefined && !canChange(host),
  )
  if (misled === undefined) return []
  return [
    warning(
      `passwords of ${misled.host} cannot be changed here, and ejabberd tells users who try that they were (mod_register, ${misled.register?.place})`,
      `take mod_register out of modules, or say refused_setpass: error-frame in extauth.yml${isAllowed ? ', or let a backend change passwords (ldap_writes: [setpass])' : ''}`,
    ),
  ]
}

/** An answer that comes when the server has given up is lost, and the reason with it; what has come meanwhile waits behind it. */
function judgeDeadline(plan: Plan, server: ServerSettings): Finding[] {
  const deadline = plan.deadline ?? hostKinds[plan.hostKind ?? 'ejabberd'].deadline
  const asked = server.hosts.filter(({ methods }) => methods.value.includes('external'))
  return asked
    .filter(({ patience }) => patience.value <= deadline)
    .map(({ host, patience: { value, place } }) =>
      warning(
        `${server.name} waits ${value / 1000} s for an answer about ${host} (${place}), and one may take ${deadline / 1000} s`,
        `deadline: ${Math.floor(value * 0.0085) / 10} in extauth.yml, or let ${server.name} wait longer if it can`,
      ),
    )
}

/** What one password costs here; undefined when another system judges it, or nobody knows how it is kept. */
async function msPerPassword(plan: Plan): Promise<number | undefined> {
  if (!plan.backends.some(({ type }) => type === 'sqlite')) return undefined
  const password = Buffer.from('how long does this take')
  const signal = AbortSignal.timeout(10_000)
  const begun = performance.now()
  await verifyNobody('bcrypt', password, signal)
  return performance.now() - begun
}

/** The whole line, as a server's configuration has it between double quotes. */
function commandFor(launcher: string, flags: Flags, server: ServerSettings): string {
  const kinds = {
    ejabberd: '--failure-reply error-frame',
    'ejabberd-old': '--host-kind ejabberd-old',
    gatehouse: '--host-kind gatehouse',
    mongooseim: '--host-kind mongooseim',
    'prosody-line': '--host-kind prosody-line',
  } as const
  const words = isSourceSaid(flags) ? wordsOf(flags) : ['--sqlite', '/var/lib/ejabberd/accounts.sqlite']
  const line = [launcher, ...words].map(shellWord).join(' ')
  return `${line} ${kinds[server.kind]}`.replaceAll(/[\\"]/g, '\\$&')
}
