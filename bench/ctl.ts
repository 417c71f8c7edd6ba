/** Commands of an administrator: one, beside ejabberd's and beside Node doing nothing; many on one connection; a long list. */
import { spawn } from 'node:child_process'
import { pbkdf2 } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { scramIterations, scramKeyLength } from '../server-core/accounts/formats/scram.ts'
import { startEjabberd } from '../test/harness/ejabberd.ts'
import { peers } from '../test/harness/find.ts'
import { temporaryFolder } from '../test/harness/folder.ts'
import { programs } from '../test/harness/paths.ts'
import { exited, type Result, run } from '../test/harness/process.ts'
import { type Server, startServer } from '../test/harness/server.ts'
import { childrenCpu, forgetPeak, peakMiB } from './proc.ts'
import { type Contestant, median, Rounds } from './rounds.ts'
import { type Bench, figure, type Row, tableOf } from './table.ts'

function contestant(name: string, times: number, command: () => Promise<Result>): Contestant {
  return {
    name,
    async measure() {
      const cpu = childrenCpu()
      const begin = performance.now()
      for (let n = 0; n < times; n++) succeeded(name, await command())
      const wall = performance.now() - begin
      return { 'wall ms': wall / times, 'CPU ms': ((childrenCpu() - cpu) * 1000) / times }
    },
  }
}

function succeeded(name: string, { code, stdout, stderr }: Result): string {
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`)
  return stdout
}

/** Short turns, so that whatever else the machine does meets all of them. */
async function oneCommand(quick: boolean, notes: string[]): Promise<Row[]> {
  const server = await startServer()
  const ejabberd = peers.ejabberd.found()
    ? await startEjabberd({ host: 'localhost', yaml: ['auth_method: internal'] })
    : undefined
  if (ejabberd === undefined) notes.push('no ejabberdctl: ejabberd is not installed')
  const command = ['stats', 'registeredusers']
  const times = 3
  const contestants = [
    contestant('gatehousectl', times, () => server.ctl(command)),
    contestant('node -e 0', times, () => run(process.execPath, ['-e', '0'])),
  ]
  if (ejabberd !== undefined)
    contestants.push(contestant('ejabberdctl', times, () => ejabberd.ctl(...command)))
  try {
    for (const one of contestants) await one.measure()
    const rounds = await Rounds.run(contestants, quick ? 5 : 31)
    notes.push(...rounds.noise(['wall ms', 'CPU ms']))
    return ['wall ms', 'CPU ms'].flatMap((name): Row[] => {
      const what = `one command, ${name}`
      const ours = rounds.figure('gatehousectl', name) ?? Number.NaN
      const theirs = rounds.figure('ejabberdctl', name)
      const more = rounds.difference('gatehousectl', 'node -e 0', name) ?? Number.NaN
      return [
        { what, ours, other: rounds.figure('node -e 0', name), beside: 'node -e 0' },
        { what: `${what} more than node -e 0`, ours: more, goal: { atMost: 30 } },
        ...(theirs === undefined
          ? []
          : [{ what, ours, other: theirs, beside: 'ejabberdctl (erl alone)', goal: { atMost: 0.5 } }]),
      ]
    })
  } finally {
    await server.stop()
    await ejabberd?.stop()
  }
}

/** Lines a second of a batch; its start and end, which every batch has, are taken off. */
async function batchRate(
  server: Server,
  lines: readonly string[],
  ...options: readonly string[]
): Promise<number> {
  const timed = async (input: string) => {
    const begin = performance.now()
    succeeded('batch', await server.ctl([...options, 'batch', '-'], input))
    return performance.now() - begin
  }
  const one = 'stats registeredusers\n'
  const around = median([await timed(one), await timed(one), await timed(one)])
  return lines.length / (((await timed(lines.map((line) => `${line}\n`).join(''))) - around) / 1000)
}

async function batches(quick: boolean): Promise<Row[]> {
  const server = await startServer({ quiet: true })
  const reading = Array.from({ length: quick ? 10_000 : 50_000 }, (_, n) =>
    n % 2 === 0 ? 'stats registeredusers' : 'check_account ann localhost',
  )
  try {
    await server.must('register_identified', 'ann', 'localhost', 'a password')
    const ordered: number[] = []
    const parallel: number[] = []
    for (let round = 0; round < 3; round++) {
      ordered.push(await batchRate(server, reading))
      parallel.push(await batchRate(server, reading, '--jobs', '32'))
    }
    const goal = { atLeast: 5000 }
    const what = 'batch, reading commands a second'
    return [
      { what: `${what}, in order`, ours: median(ordered), goal },
      { what: `${what}, --jobs 32`, ours: median(parallel), goal },
      ...(await registering(server, quick)),
    ]
  } finally {
    await server.stop()
  }
}

/** An account has keys of two SCRAM hashes: beside those derivations alone, on all cores. */
async function registering(server: Server, quick: boolean): Promise<Row[]> {
  const count = quick ? 40 : 200
  const derive = promisify(pbkdf2)
  const bare = async () => {
    const begin = performance.now()
    let left = count
    const one = async () => {
      while (left-- > 0) {
        for (const hash of ['SHA-256', 'SHA-1'] as const)
          await derive(
            'a password',
            'sixteen bytes it',
            scramIterations[hash],
            scramKeyLength(hash),
            hash.replace('-', ''),
          )
      }
    }
    await Promise.all(Array.from({ length: availableParallelism() }, one))
    return count / ((performance.now() - begin) / 1000)
  }
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < 3; round++) {
    const lines = Array.from(
      { length: count },
      (_, n) => `register_identified u${round}-${n} localhost 'a password'`,
    )
    ours.push(await batchRate(server, lines, '--jobs', '32', '--keep-going'))
    theirs.push(await bare())
  }
  return [
    {
      what: 'batch, register a second, --jobs 32',
      ours: median(ours),
      other: median(theirs),
      beside: 'the derivations alone',
      // both programs need the same cores
      goal: { atLeast: 0.7 },
    },
  ]
}

/** The peaks of both sides, in MiB, while a list is read as fast as it comes. */
async function peaks(server: Server, host: string, users: number) {
  forgetPeak(server.pid)
  const words = ['--socket', server.socket, 'registered_users', host]
  const child = spawn(process.execPath, [programs.gatehousectl, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let bytes = 0
  let client = 0
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    client = Math.max(client, peakMiB(child.pid))
  })
  await exited(child)
  if (bytes < users * 10) throw new Error(`the list of ${host} was cut after ${bytes} bytes`)
  return { client, server: peakMiB(server.pid) }
}

async function listing(quick: boolean): Promise<Row[]> {
  const users = { 'few.example': 10_000, 'many.example': quick ? 20_000 : 100_000 }
  const folder = temporaryFolder('bench')
  const server = await startServer({
    quiet: true,
    config: { hosts: Object.keys(users), auth_password_format: 'plain' },
  })
  try {
    for (const [host, count] of Object.entries(users)) {
      const rows = Array.from({ length: count }, (_, n) => `user-number-${n},${host},secret\n`)
      writeFileSync(folder.file(host), rows.join(''))
      const words = ['--socket', server.socket, 'import_users', folder.file(host)]
      succeeded(
        'import_users',
        await run(process.execPath, [programs.gatehousectl, ...words], { ms: 300_000 }),
      )
    }
    await peaks(server, 'few.example', users['few.example'])
    const few = await peaks(server, 'few.example', users['few.example'])
    const many = await peaks(server, 'many.example', users['many.example'])
    const times = users['many.example'] / users['few.example']
    const row = (side: 'client' | 'server') => ({
      what: `a list of ${figure(users['many.example'])} users, peak MiB of the ${side}`,
      ours: many[side],
      other: few[side],
      beside: `a list ${times} times shorter`,
      goal: { atMost: 1.2 },
    })
    return [row('client'), row('server')]
  } finally {
    await server.stop()
    folder.remove()
  }
}

export const ctl: Bench = {
  name: 'ctl',
  doc: 'gatehousectl: one command, batches, a long list',
  async run({ quick }) {
    const notes: string[] = []
    const rows = [...(await oneCommand(quick, notes)), ...(await batches(quick)), ...(await listing(quick))]
    return tableOf('gatehousectl', rows, notes)
  },
}
