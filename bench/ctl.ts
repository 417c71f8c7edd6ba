/** One command of an administrator, beside ejabberd's and beside Node doing nothing. */
import { readFileSync } from 'node:fs'
import { startEjabberd } from '../test/harness/ejabberd.ts'
import { peers } from '../test/harness/find.ts'
import { type Result, run } from '../test/harness/process.ts'
import { startServer } from '../test/harness/server.ts'
import { type Contestant, Rounds } from './rounds.ts'
import { type Bench, figure } from './table.ts'

/** CPU seconds of all children that have ended, and of theirs: proc(5), cutime and cstime, in ticks of 10 ms. */
function childrenCpu(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) / 100
}

function contestant(name: string, times: number, command: () => Promise<Result>): Contestant {
  return {
    name,
    async measure() {
      const cpu = childrenCpu()
      const begin = performance.now()
      for (let n = 0; n < times; n++) {
        const { code, stderr } = await command()
        if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`)
      }
      const wall = performance.now() - begin
      return { 'wall ms': wall / times, 'CPU ms': ((childrenCpu() - cpu) * 1000) / times }
    },
  }
}

export const ctl: Bench = {
  name: 'ctl',
  doc: 'one gatehousectl command: wall time and CPU, by ejabberdctl (its erl alone, without its shell script) and by node -e 0',
  async run({ quick }) {
    const times = quick ? 5 : 20
    const server = await startServer()
    const ejabberd = peers.ejabberd.found()
      ? await startEjabberd({ host: 'localhost', yaml: ['auth_method: internal'] })
      : undefined
    const command = ['stats', 'registeredusers']
    const contestants = [
      contestant('gatehousectl', times, () => server.ctl(command)),
      contestant('node -e 0', times, () => run(process.execPath, ['-e', '0'])),
    ]
    if (ejabberd !== undefined)
      contestants.push(contestant('ejabberdctl', times, () => ejabberd.ctl(...command)))
    try {
      const rounds = await Rounds.run(contestants, quick ? 3 : 5)
      const names = ['wall ms', 'CPU ms']
      return {
        columns: ['command', ...names.flatMap((name) => [name, 'of ejabberdctl', 'of node -e 0'])],
        rows: contestants.map(({ name }) => [
          name,
          ...names.flatMap((what) => [
            figure(rounds.figure(name, what)),
            figure(rounds.ratio(name, 'ejabberdctl', what)),
            figure(rounds.ratio(name, 'node -e 0', what)),
          ]),
        ]),
        notes: [
          ...(ejabberd === undefined ? ['no ejabberdctl: ejabberd is not installed'] : []),
          ...rounds.noise(names),
        ],
      }
    } finally {
      await server.stop()
      await ejabberd?.stop()
    }
  },
}
