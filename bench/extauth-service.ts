/** What gatehouse-extauth costs around its questions: hashing beside the library alone, the daemon, its start, its memory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import bcrypt from 'bcrypt'
import { startDaemon } from '../test/harness/daemon.ts'
import { frame, startExtauth } from '../test/harness/extauth.ts'
import { type Folder, temporaryFolder } from '../test/harness/folder.ts'
import { programs } from '../test/harness/paths.ts'
import { exited } from '../test/harness/process.ts'
import { residentMiB } from './proc.ts'
import { median } from './rounds.ts'
import { type Bench, type Row, tableOf } from './table.ts'

/** Requests in flight. */
const parallel = 8

/** Something that answers four bytes to each frame. */
class Line {
  readonly #write: (bytes: Buffer) => void
  #due = 0
  #done: () => void = () => undefined

  constructor(output: NodeJS.ReadableStream, write: (bytes: Buffer) => void) {
    this.#write = write
    output.on('data', (chunk: Buffer) => {
      this.#due -= chunk.length
      if (this.#due === 0) this.#done()
    })
  }

  async ask(frames: Buffer, count = 1): Promise<void> {
    this.#due = 4 * count
    const answered = new Promise<void>((resolve) => {
      this.#done = resolve
    })
    this.#write(frames)
    await answered
  }
}

function ofSocket(path: string): { line: Line; socket: Socket } {
  const socket = connect(path)
  return { socket, line: new Line(socket, (bytes) => void socket.write(bytes)) }
}

function ofChild(child: ChildProcess): Line {
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('no pipes')
  return new Line(stdout, (bytes) => void stdin.write(bytes))
}

async function perSecond(ms: number, once: () => Promise<void>): Promise<number> {
  const begin = performance.now()
  let count = 0
  while (performance.now() - begin < ms) {
    await once()
    count++
  }
  return count / ((performance.now() - begin) / 1000)
}

const isuser = frame('isuser:ann:localhost')
const auth = frame('auth:ann:localhost:a password')

async function hashing(folder: Folder, rounds: number): Promise<Row[]> {
  const hash = await bcrypt.hash('a password', 12)
  const pipe = startExtauth(['--sqlite', folder.file('bcrypt.sqlite')])
  await pipe.ask('tryregister:ann:localhost:a password', 30_000)
  const line = ofChild(pipe.child)
  const daemon = await startDaemon(['--sqlite', folder.file('bcrypt.sqlite'), '--listen', folder.file('b')])
  const lines = Array.from({ length: parallel }, () => ofSocket(folder.file('b')))
  const second = ofSocket(folder.file('b'))
  const waits: number[] = []
  const figures: number[][] = [[], [], [], []]
  const measure = async (index: number, work: () => Promise<number>) => figures[index]?.push(await work())
  for (let round = 0; round < rounds; round++) {
    await measure(0, () => perSecond(1500, () => line.ask(auth)))
    await measure(1, () => perSecond(1500, async () => void (await bcrypt.compare('a password', hash))))
    /** Whoever is answered asks again at once: as many as there are lines are always in flight. */
    const all = async (once: (n: number) => Promise<unknown>) => {
      const rates = lines.map((_, n) => perSecond(4000, async () => void (await once(n))))
      return (await Promise.all(rates)).reduce((sum, rate) => sum + rate, 0)
    }
    let isHashing = true
    const meanwhile = beside(second.line, waits, () => isHashing)
    await measure(2, () => all(async (n) => lines[n]?.line.ask(auth)))
    isHashing = false
    await meanwhile
    await measure(3, () => all(() => bcrypt.compare('a password', hash)))
  }
  for (const { socket } of [...lines, second]) socket.destroy()
  await pipe.close()
  await daemon.stop()
  const [a = [], b = [], c = [], d = []] = figures
  return [
    { what: 'bcrypt logins/s, one after another', ours: median(a), other: median(b), beside: 'bcrypt alone' },
    {
      what: `bcrypt logins/s, daemon, ${parallel} at once`,
      ours: median(c),
      other: median(d),
      beside: 'bcrypt alone',
      goal: { atLeast: 0.95 },
    },
    {
      what: `isuser beside ${parallel} hashes, 99th percentile, ms`,
      ours: percentile(waits, 0.99),
      goal: { atMost: 20 },
    },
  ]
}

/** Asks now and then while something else is going on, and notes how long each answer took, in milliseconds. */
async function beside(line: Line, waits: number[], goesOn: () => boolean): Promise<void> {
  while (goesOn()) {
    const begin = performance.now()
    await line.ask(isuser)
    waits.push(performance.now() - begin)
    // seldom enough not to be a load itself: both cores are counted
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) * part)] ?? Number.NaN
}

async function serving(folder: Folder, ms: number): Promise<Row[]> {
  const file = folder.file('plain.yml')
  writeFileSync(file, 'backends: {main: {type: sqlite, file: plain.sqlite, password_format: plain}}\n')
  const pipe = startExtauth(['--config', file, '--log-level', 'warning'])
  await pipe.ask('tryregister:ann:localhost:a password')
  const line = ofChild(pipe.child)
  const daemon = await startDaemon(['--config', file, '--listen', folder.file('d')])
  const direct = ofSocket(folder.file('d'))
  const relay = startExtauth(['relay', folder.file('d')])
  const relayed = ofChild(relay.child)
  const rows: number[][] = [[], [], []]
  for (let round = 0; round < 3; round++) {
    for (const [index, one] of [line, direct.line, relayed].entries()) {
      rows[index]?.push(await perSecond(ms, () => one.ask(isuser)))
    }
  }
  const [a = [], b = [], c = []] = rows
  direct.socket.destroy()
  await relay.close()
  await daemon.stop()
  await pipe.close()
  return [
    {
      what: 'isuser/s in lock-step, the socket of the daemon',
      ours: median(b),
      other: median(a),
      beside: 'pipe',
    },
    { what: 'isuser/s in lock-step, relay and daemon', ours: median(c), other: median(a), beside: 'pipe' },
  ]
}

async function starting(folder: Folder, count: number): Promise<Row[]> {
  const ours: number[] = []
  const bare: number[] = []
  for (let n = 0; n < count; n++) {
    let begin = performance.now()
    const child = spawn(programs.extauth, ['--sqlite', folder.file('start.sqlite')], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    await ofChild(child).ask(isuser)
    ours.push(performance.now() - begin)
    child.stdin.end()
    await exited(child)
    begin = performance.now()
    await exited(spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' }))
    bare.push(performance.now() - begin)
  }
  const more = median(ours.map((value, round) => value - (bare[round] ?? Number.NaN)))
  return [
    { what: 'start to first answer, ms', ours: median(ours), other: median(bare), beside: 'node -e 0' },
    { what: 'start to first answer, ms more than node -e 0', ours: more, goal: { atMost: 150 } },
  ]
}

async function memory(folder: Folder, requests: number): Promise<Row[]> {
  const pipe = startExtauth(['--sqlite', folder.file('memory.sqlite')])
  await pipe.ask('isuser:ann:localhost')
  const line = ofChild(pipe.child)
  const batch = Buffer.concat(Array.from({ length: 1000 }, () => isuser))
  for (let n = 0; n < requests / 10_000; n++) await line.ask(batch, 1000)
  const first = residentMiB(pipe.child.pid)
  for (let n = 0; n < requests / 1000; n++) await line.ask(batch, 1000)
  const last = residentMiB(pipe.child.pid)
  await pipe.close()

  const daemon = await startDaemon(['--sqlite', folder.file('memory.sqlite'), '--listen', folder.file('m')])
  const relays = Array.from({ length: 64 }, () => startExtauth(['relay', folder.file('m')]))
  await Promise.all(relays.map((relay) => relay.ask('isuser:ann:localhost')))
  const total = [daemon.child, ...relays.map(({ child }) => child)].reduce(
    (sum, { pid }) => sum + residentMiB(pid),
    0,
  )
  await Promise.all(relays.map((relay) => relay.close()))
  await daemon.stop()
  return [
    {
      what: `resident MiB after ${requests} requests`,
      ours: last,
      other: first,
      beside: 'after a hundredth of them',
      goal: { atMost: 1.05 },
    },
    { what: `resident MiB after ${requests} requests`, ours: last, goal: { atMost: 70 } },
    {
      what: 'resident MiB, daemon and 64 relays (16 for each of four hosts)',
      ours: total,
      goal: { atMost: 300 },
    },
  ]
}

export const extauthService: Bench = {
  name: 'extauth-service',
  doc: 'gatehouse-extauth: hashing, daemon, start and memory',
  async run({ quick }) {
    const folder = temporaryFolder('bench')
    try {
      const rows = [
        ...(await hashing(folder, quick ? 1 : 5)),
        ...(await serving(folder, quick ? 300 : 1500)),
        ...(await starting(folder, quick ? 5 : 15)),
        ...(await memory(folder, quick ? 100_000 : 1_000_000)),
      ]
      return tableOf('gatehouse-extauth', rows)
    } finally {
      folder.remove()
    }
  },
}
