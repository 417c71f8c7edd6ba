/** gatehouse-extauth answering isuser from SQLite, beside the bare frames on Node and beside a script in Python. */
import { type ChildProcess, spawn } from 'node:child_process'
import { frame, startExtauth } from '../test/harness/extauth.ts'
import { findProgram } from '../test/harness/find.ts'
import { temporaryFolder } from '../test/harness/folder.ts'
import { peerFixtures, programs, root } from '../test/harness/paths.ts'
import { exited } from '../test/harness/process.ts'
import { type Contestant, Rounds } from './rounds.ts'
import { type Bench, figure, type Goal, goalCells, goalColumns } from './table.ts'

const accounts = 20
const atOnce = 1_000

/** One of ten asks for an account that there is not. */
function request(n: number): Buffer {
  return frame(n % 10 === 9 ? `isuser:nobody${n}:localhost` : `isuser:user${n % accounts}:localhost`)
}

/** A running program: frames go in, and four bytes come back for each. */
class Program {
  readonly #child: ChildProcess & { stdin: NodeJS.WritableStream; stdout: NodeJS.ReadableStream }
  #due = 0
  #done: () => void = () => undefined

  constructor(file: string, args: readonly string[]) {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    child.stdout.on('data', (chunk: Buffer) => {
      this.#due -= chunk.length
      if (this.#due === 0) this.#done()
    })
    this.#child = child
  }

  async ask(frames: Buffer, count: number): Promise<void> {
    this.#due = 4 * count
    const answered = new Promise<void>((resolve) => {
      this.#done = resolve
    })
    this.#child.stdin.write(frames)
    await answered
  }

  async close(): Promise<void> {
    const end = exited(this.#child)
    this.#child.stdin.end()
    await end
  }
}

/** Repeats for so many milliseconds, and gives how often a second. */
async function rate(milliseconds: number, once: (n: number) => Promise<void>): Promise<number> {
  const begin = performance.now()
  let n = 0
  while (performance.now() < begin + milliseconds) await once(n++)
  return n / ((performance.now() - begin) / 1000)
}

function contestant(name: string, program: Program, milliseconds: number): Contestant {
  const single = Array.from({ length: 100 }, (_, n) => request(n))
  const batch = Buffer.concat(Array.from({ length: atOnce }, (_, n) => request(n)))
  return {
    name,
    measure: async () => ({
      'lock-step/s': await rate(milliseconds, (n) => program.ask(single[n % single.length] as Buffer, 1)),
      '1,000 at once/s': atOnce * (await rate(milliseconds, () => program.ask(batch, atOnce))),
    }),
  }
}

export const extauth: Bench = {
  name: 'extauth',
  doc: 'requests a second of gatehouse-extauth (isuser, SQLite), by the bare frames on Node and by a Python script',
  async run({ quick }) {
    const folder = temporaryFolder('bench')
    const notes: string[] = []
    const commands: { name: string; file: string; args: string[] }[] = [
      {
        name: 'gatehouse-extauth',
        file: programs.extauth,
        args: ['--sqlite', folder.file('gatehouse.sqlite')],
      },
      { name: 'bare frames on Node', file: process.execPath, args: [`${root}/bench/extauth-floor.js`] },
    ]
    const python = findProgram('python3')
    if (python === undefined) notes.push('no Python script: python3 is not installed')
    else {
      const args = [`${peerFixtures}/extauth.py`, folder.file('python.sqlite')]
      commands.push({ name: 'script in Python', file: python, args })
    }
    const running: Program[] = []
    try {
      for (const { file, args } of commands) {
        const program = startExtauth(args, file)
        for (let n = 0; n < accounts; n++) {
          if ((await program.ask(`tryregister:user${n}:localhost:password ${n}`)) !== 'yes') {
            throw new Error(`${file} made no account: ${program.log()}`)
          }
        }
        await program.close()
      }
      // Short and many, so that whatever else the machine does meets all of them.
      const milliseconds = quick ? 100 : 150
      const contestants: Contestant[] = []
      for (const { name, file, args } of commands) {
        const program = new Program(file, args)
        running.push(program)
        const one = contestant(name, program, milliseconds)
        await one.measure() // warm-up
        contestants.push(one)
      }
      const rounds = await Rounds.run(contestants, quick ? 5 : 41)
      const wanted: readonly (readonly [what: string, other: string, goal: Goal | undefined])[] = [
        ['lock-step/s', 'bare frames on Node', { atLeast: 0.7 }],
        ['lock-step/s', 'script in Python', undefined],
        ['1,000 at once/s', 'script in Python', { atLeast: 3 }],
      ]
      return {
        columns: ['isuser', 'gatehouse-extauth', 'other', 'ratio', 'beside', ...goalColumns],
        rows: wanted.map(([what, other, goal]) => {
          const ratio = rounds.ratio('gatehouse-extauth', other, what)
          return [
            what,
            figure(rounds.figure('gatehouse-extauth', what)),
            figure(rounds.figure(other, what)),
            figure(ratio),
            other,
            ...goalCells(ratio, goal),
          ]
        }),
        notes,
      }
    } finally {
      await Promise.all(running.map((program) => program.close()))
      folder.remove()
    }
  },
}
