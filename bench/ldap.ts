/** Logins against OpenLDAP, a search and a bind each: the backend beside ldapjs alone, on the same server in the same rounds. */
import ldapjs from 'ldapjs'
import { z } from 'zod'
import { ldapBackend, ldapFields } from '../server-core/auth/ldap.ts'
import { silentLogger } from '../server-core/log.ts'
import { peers } from '../test/harness/find.ts'
import { type Slapd, startSlapd } from '../test/harness/slapd.ts'
import { type Contestant, Rounds } from './rounds.ts'
import type { Goal } from './table.ts'

/** Logins a second; ratio is ours / floor. */
export interface Row {
  readonly name: string
  readonly ours: number
  readonly floor: number
  readonly ratio: number
  readonly goal: Goal
}

const connections = 8
const password = 'wonder:land'

type Login = () => Promise<boolean>

/** Throws when there is no slapd. */
export async function ldapBenchmark(options: { readonly quick?: boolean } = {}): Promise<Row[]> {
  if (!peers.slapd.found()) throw new Error(`slapd is not installed (${peers.slapd.package})`)
  const slapd = await startSlapd()
  try {
    const ours = backendLogin(slapd)
    const bare = await bareLogin(slapd)
    try {
      return [
        await compare('one at a time', 1, ours.login, bare.login, options.quick ? 50 : 100),
        await compare(
          `${connections} at once`,
          connections,
          ours.login,
          bare.login,
          options.quick ? 100 : 300,
        ),
      ]
    } finally {
      await ours.close()
      bare.close()
    }
  } finally {
    await slapd.remove()
  }
}

async function compare(name: string, atOnce: number, ours: Login, bare: Login, logins: number): Promise<Row> {
  const contestant = (name: string, login: Login): Contestant => ({
    name,
    async measure() {
      const start = performance.now()
      let left = logins
      const one = async () => {
        while (left-- > 0) if (!(await login())) throw new Error(`${name}: a login was refused`)
      }
      await Promise.all(Array.from({ length: atOnce }, one))
      return { 'logins/s': logins / ((performance.now() - start) / 1_000) }
    },
  })
  await contestant('warm-up', ours).measure()
  await contestant('warm-up', bare).measure()
  const rounds = await Rounds.run([contestant('gatehouse', ours), contestant('ldapjs', bare)], 31)
  return {
    name: `login, ${name}`,
    ours: rounds.figure('gatehouse', 'logins/s') ?? Number.NaN,
    floor: rounds.figure('ldapjs', 'logins/s') ?? Number.NaN,
    ratio: rounds.ratio('gatehouse', 'ldapjs', 'logins/s') ?? Number.NaN,
    goal: { atLeast: 0.9 },
  }
}

function backendLogin(slapd: Slapd): { login: Login; close(): Promise<void> } {
  const options = z.strictObject(ldapFields).parse({
    ...slapd.options,
    ldap_search_connections: connections,
    ldap_bind_connections: connections,
  })
  const backend = ldapBackend(options, silentLogger())
  const bytes = Buffer.from(password)
  const { signal } = new AbortController()
  return {
    login: async () => {
      const verdict = await backend.checkPassword('alice', 'example.org', bytes, signal)
      return verdict.ok
    },
    close: () => backend.close(),
  }
}

/** The least that logs somebody in: no limits, no deadlines, no second thought about what comes back. */
async function bareLogin(slapd: Slapd): Promise<{ login: Login; close(): void }> {
  const open = () =>
    new Promise<ldapjs.Client>((resolve, reject) => {
      const client = ldapjs.createClient({ url: slapd.url })
      client.once('connect', () => resolve(client))
      client.once('error', reject)
    })
  const pairs = await Promise.all(
    Array.from({ length: connections }, async () => ({ search: await open(), bind: await open() })),
  )
  const { ldap_rootdn: name } = slapd.options
  await Promise.all(
    pairs.map(
      ({ search }) =>
        new Promise<void>((resolve, reject) =>
          search.bind(name, 'reader-secret', (error) => (error ? reject(error) : resolve())),
        ),
    ),
  )
  const free = [...pairs]
  return {
    async login() {
      const pair = free.pop()
      if (pair === undefined) throw new Error('more at once than there are connections')
      try {
        const dn = await find(pair.search, 'alice')
        return await new Promise((resolve) => pair.bind.bind(dn, password, (error) => resolve(!error)))
      } finally {
        free.push(pair)
      }
    },
    close: () => {
      for (const { search, bind } of pairs) {
        search.destroy()
        bind.destroy()
      }
    },
  }
}

function find(client: ldapjs.Client, user: string): Promise<string> {
  const options = {
    scope: 'sub' as const,
    filter: new ldapjs.EqualityFilter({ attribute: 'uid', value: user }),
    attributes: ['uid'],
    sizeLimit: 2,
  }
  return new Promise((resolve, reject) => {
    client.search('dc=example,dc=org', options, (error, response) => {
      if (error) {
        reject(error)
        return
      }
      let dn = ''
      response.on('searchEntry', (entry: { objectName: { toString(): string } }) => {
        dn = entry.objectName.toString()
      })
      response.on('error', reject)
      response.on('end', () => resolve(dn))
    })
  })
}
