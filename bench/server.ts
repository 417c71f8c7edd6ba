/**
 * Messages through the server and through ejabberd: the same accounts (passwords in plain on both), the same clients (load.c), no
 * shaper, loopback. CPU is the server's own, by message, since the load generator shares the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { startEjabberd } from '../test/harness/ejabberd.ts'
import { findProgram, peers } from '../test/harness/find.ts'
import { root } from '../test/harness/paths.ts'
import { run } from '../test/harness/process.ts'
import { startServer } from '../test/harness/server.ts'
import { type Contestant, type Figures, Rounds } from './rounds.ts'
import {
  type Bench,
  type BenchOptions,
  figure,
  type Goal,
  goalCells,
  goalColumns,
  type Table,
} from './table.ts'

export const password = 'secret'
const chatUsers = 200
const idleUsers = 1_000

/** A running server. */
export interface Subject {
  readonly name: string
  readonly port: number
  readonly tlsPort: number
  readonly pid: number
  stop(): Promise<unknown>
}

export interface Load {
  readonly tls: boolean
  run(subject: Subject, mode: string, tls: boolean, ...more: string[]): Promise<Figures>
  remove(): void
}

/** The load generator, compiled; without OpenSSL's headers it speaks plain TCP only. */
export async function compile(): Promise<Load> {
  const cc = findProgram('cc')
  if (cc === undefined)
    throw new Error('the load generator is C: install a compiler (Debian: gcc libc6-dev libssl-dev)')
  const folder = mkdtempSync(join(tmpdir(), 'gh-load-'))
  const file = join(folder, 'load')
  const source = ['-O2', '-o', file, `${root}/bench/load.c`]
  const withTls = await run(cc, ['-DWITH_TLS', ...source, '-lssl', '-lcrypto'])
  if (withTls.code !== 0) {
    const plain = await run(cc, source)
    if (plain.code !== 0) throw new Error(`cc: ${plain.stderr}`)
  }
  return {
    tls: withTls.code === 0,
    remove: () => rmSync(folder, { recursive: true, force: true }),
    async run(subject, mode, tls, ...more) {
      const result = await run(
        file,
        [
          ...[mode, '--port', String(tls ? subject.tlsPort : subject.port), ...(tls ? ['--tls'] : [])],
          ...['--password', password, '--pid', String(subject.pid), ...more],
        ],
        { ms: 300_000 },
      )
      if (result.code !== 0) throw new Error(`${subject.name}, ${mode}: ${result.stderr}`)
      return JSON.parse(result.stdout) as Figures
    },
  }
}

export async function startGatehouse(
  users: number,
  config: Readonly<Record<string, unknown>> = { auth_password_format: 'plain' },
): Promise<Subject & { readonly ask: Ask; readonly socket: string }> {
  const server = await startServer({
    quiet: true,
    config,
    listener: { allow_unencrypted_plain_auth: true, starttls_required: false, backlog: 2_048 },
  })
  const ask = asking(server.socket)
  for (let n = 0; n < users; n++) {
    await ask('register_identified', { user: `load${n}`, host: 'localhost', password })
  }
  return { name: 'gatehouse', ...server, ask }
}

/** A command on a connection that stays: a program for each would take most of the time. */
type Ask = (method: string, params: Readonly<Record<string, unknown>>) => Promise<void>

function asking(path: string): Ask {
  const socket = connect(path)
  socket.unref()
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  return async (method, params) => {
    socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`)
    const { value } = await lines.next()
    if (!String(value).includes('"result"')) throw new Error(`${method}: ${value}`)
  }
}

async function startPeer(users: number): Promise<Subject> {
  const server = await startEjabberd({
    host: 'localhost',
    tls: true,
    api: true,
    loglevel: 'warning',
    erlang: ['+K', 'true', '+sbwt', 'none'],
    yaml: [
      'auth_method: internal',
      'auth_password_format: plain',
      'shaper: {}',
      'shaper_rules: {max_user_sessions: 10, max_user_offline_messages: 5000}',
    ],
    modules: ['mod_disco: {}', 'mod_offline: {}', 'mod_ping: {}', 'mod_roster: {}'],
  })
  for (let n = 0; n < users; n++) {
    const answer = await server.call('register', { user: `load${n}`, host: 'localhost', password })
    if (!answer.ok) throw new Error(`no account: ${await answer.text()}`)
  }
  return { name: 'ejabberd', ...server }
}

interface Measure {
  readonly label: string
  readonly mode: string
  readonly figure: string
  readonly args: readonly string[]
  /** Of the ratio. */
  readonly goal?: Goal
}

/** What a run of the load generator printed, by the words that started it: several rows may read the same run. */
type Runs = Map<string, Figures>

/** The rows of one way of connecting, on servers that were started for them. */
async function rowsOf(
  tls: boolean,
  load: Load,
  subjects: readonly Subject[],
  options: BenchOptions,
): Promise<Pick<Table, 'rows' | 'notes'>> {
  const seconds = String(options.quick ? 2 : 5)
  const talk = ['--users', String(chatUsers), '--seconds', seconds]
  const measures: Measure[] = [
    {
      label: 'login, CPU ms',
      mode: 'login',
      figure: 'cpuMilliseconds',
      args: ['--users', String(chatUsers)],
      goal: { atMost: 1 },
    },
    {
      label: '500/s, p99 ms',
      mode: 'rate',
      figure: 'p99',
      args: [...talk, '--rate', '500'],
      goal: { atMost: 1 },
    },
    {
      label: '5,000/s, CPU µs a message',
      mode: 'rate',
      figure: 'cpuMicroseconds',
      args: [...talk, '--rate', '5000'],
      goal: { atMost: tls ? 0.5 : 0.4 },
    },
    { label: '5,000/s, p99 ms', mode: 'rate', figure: 'p99', args: [...talk, '--rate', '5000'] },
    {
      label: 'saturated, messages/s',
      mode: 'chat',
      figure: 'perSecond',
      args: [...talk, '--inflight', '8'],
      goal: { atLeast: 1.5 },
    },
    {
      label: 'saturated, CPU µs a message',
      mode: 'chat',
      figure: 'cpuMicroseconds',
      args: [...talk, '--inflight', '8'],
      goal: { atMost: tls ? 0.5 : 0.333 },
    },
  ]
  const how = tls ? 'TLS' : 'plain'
  const notes: string[] = []
  const logins = ['login', tls, '--users', String(chatUsers)] as const
  // A process grows by its sessions only once: after a warm-up, before the rounds, and not repeated.
  const memory = new Map<string, number>()
  for (const subject of subjects) {
    await load.run(subject, ...logins)
    const idle = await load.run(subject, 'idle', tls, '--users', String(idleUsers), '--seconds', '3')
    memory.set(subject.name, idle['kibPerSession'] ?? Number.NaN)
    // The compilers of both have seen some 3,000 logins then, as many as a server has had after its first minutes.
    for (let n = 0; n < 9; n++) await load.run(subject, ...logins)
  }
  const contestants: Contestant[] = subjects.map((subject) => ({
    name: subject.name,
    async measure() {
      const figures: Record<string, number> = {}
      const runs: Runs = new Map()
      for (const { label, mode, figure: name, args } of measures) {
        const words = [mode, ...args].join(' ')
        const measured = runs.get(words) ?? (await load.run(subject, mode, tls, ...args))
        runs.set(words, measured)
        figures[label] = measured[name] ?? Number.NaN
        const lost = measured['lost'] ?? 0
        if (lost > 0) notes.push(`${how}: ${subject.name}, ${label}: ${lost} messages lost`)
      }
      return figures
    },
  }))
  const rounds = await Rounds.run(contestants, options.quick ? 2 : 3)
  const rows = measures.map(({ label, goal }) => {
    const ratio = rounds.ratio('gatehouse', 'ejabberd', label)
    return [
      `${how}: ${label}`,
      figure(rounds.figure('gatehouse', label)),
      figure(rounds.figure('ejabberd', label)),
      figure(ratio),
      ...goalCells(ratio, goal),
    ]
  })
  const [ours, theirs] = [memory.get('gatehouse'), memory.get('ejabberd')]
  const ratio = (ours ?? Number.NaN) / (theirs ?? Number.NaN)
  rows.push([
    `${how}: idle session, KiB (measured once; the goal is ours alone)`,
    ...[ours, theirs, ratio].map(figure),
    ...goalCells(ours, { atMost: tls ? 50 : 20 }),
  ])
  notes.push(...rounds.noise(measures.map(({ label }) => label)).map((note) => `${how}: ${note}`))
  return { rows, notes }
}

export const server: Bench = {
  name: 'server',
  doc: 'messages, logins and idle sessions of the server, by ejabberd with the same settings',
  async run(options) {
    const load = await compile()
    const rows: (readonly string[])[] = []
    const notes: string[] = []
    if (!peers.ejabberd.found()) notes.push('no ejabberd: it is not installed')
    if (!load.tls) notes.push("no TLS rows: OpenSSL's headers are missing (Debian: libssl-dev)")
    try {
      for (const tls of load.tls ? [false, true] : [false]) {
        const subjects: Subject[] = []
        try {
          subjects.push(await startGatehouse(idleUsers))
          if (peers.ejabberd.found()) subjects.push(await startPeer(idleUsers))
          const measured = await rowsOf(tls, load, subjects, options)
          rows.push(...measured.rows)
          notes.push(...measured.notes)
        } finally {
          await Promise.all(subjects.map((subject) => subject.stop()))
        }
      }
      return { columns: ['', 'gatehouse', 'ejabberd', 'ratio', ...goalColumns], rows, notes }
    } finally {
      load.remove()
    }
  },
}
