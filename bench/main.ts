/** `npm run bench [--] [NAME…] [--quick]`: one table for each benchmark. Only ratios of one run mean anything. */
import { parseArgs } from 'node:util'
import { peers } from '../test/harness/find.ts'
import { ctl } from './ctl.ts'
import { extauth } from './extauth.ts'
import { extauthService } from './extauth-service.ts'
import { ldapBenchmark } from './ldap.ts'
import { server } from './server.ts'
import { serverLife } from './server-life.ts'
import { type Bench, figure, format, goalCells, goalColumns } from './table.ts'
import { xml } from './xml.ts'

const ldap: Bench = {
  name: 'ldap',
  doc: 'search and bind, logins a second, beside ldapjs alone on the same slapd',
  async run({ quick }) {
    if (!peers.slapd.found()) {
      return { columns: [''], rows: [], notes: ['left out: slapd is not installed'] }
    }
    const rows = await ldapBenchmark({ quick })
    return {
      columns: ['', 'gatehouse', 'ldapjs', 'ratio', ...goalColumns],
      rows: rows.map(({ name, ours, floor, ratio, goal }) => [
        name,
        ...[ours, floor, ratio].map(figure),
        ...goalCells(ratio, goal),
      ]),
      notes: [],
    }
  },
}

const benches: readonly Bench[] = [ctl, extauth, extauthService, ldap, server, serverLife, xml]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
})
const unknown = positionals.filter((name) => benches.every((bench) => bench.name !== name))
if (values.help || unknown.length > 0) {
  for (const name of unknown) console.error(`there is no benchmark "${name}"`)
  console.error('npm run bench -- [NAME…] [--quick]\n')
  for (const bench of benches) console.error(`  ${bench.name.padEnd(15)}  ${bench.doc}`)
  process.exitCode = unknown.length > 0 ? 2 : 0
} else {
  for (const bench of benches) {
    if (positionals.length > 0 && !positionals.includes(bench.name)) continue
    console.log(`${bench.name}: ${bench.doc}\n`)
    try {
      console.log(`${format(await bench.run({ quick: values.quick }))}\n`)
    } catch (error) {
      console.error(`${bench.name} failed: ${String(error)}\n`)
      process.exitCode = 1
    }
  }
}
