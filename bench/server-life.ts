/** What a server's life is made of beside messages: memory before anybody comes, logins by SCRAM, first presences, a day's traffic. */
import { pbkdf2Sync } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { scramIterations } from '../server-core/accounts/formats/scram.ts'
import { scram } from '../test/harness/scram.ts'
import { cpuOf, residentMiB } from './proc.ts'
import { median, Rounds } from './rounds.ts'
import { compile, type Load, password, startGatehouse } from './server.ts'
import { type Bench, type BenchOptions, figure, type Row, tableOf } from './table.ts'

const sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"

/** The least of a client: what it reads it only searches. */
class Client {
  readonly #socket: Socket
  #text = ''
  #changed: () => void = () => undefined

  constructor(port: number) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => {
      this.#text += text
      this.#changed()
    })
  }

  /** Everything up to and with that text, as often as it is wanted. */
  async until(end: string, count = 1): Promise<string> {
    for (let at = 0, seen = 0; ; ) {
      for (let next = this.#text.indexOf(end, at); next !== -1; next = this.#text.indexOf(end, at)) {
        at = next + end.length
        if (++seen < count) continue
        const text = this.#text.slice(0, at)
        this.#text = this.#text.slice(at)
        return text
      }
      if (/<(failure|stream:error)/.test(this.#text)) throw new Error(this.#text)
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }

  send(text: string): void {
    this.#socket.write(text)
  }

  async open(): Promise<void> {
    this.send(
      "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    )
    await this.until('</stream:features>')
  }

  async login(user: string): Promise<void> {
    await this.open()
    const base64 = (text: string) => Buffer.from(text).toString('base64')
    const text = (element: string) => Buffer.from(/>([^<]*)<\//.exec(element)?.[1] ?? '', 'base64').toString()
    const exchange = scram('SCRAM-SHA-256', user, password)
    this.send(`<auth ${sasl} mechanism='SCRAM-SHA-256'>${base64(exchange.first)}</auth>`)
    this.send(
      `<response ${sasl}>${base64(exchange.final(text(await this.until('</challenge>'))))}</response>`,
    )
    if (!exchange.verify(text(await this.until('</success>'))))
      throw new Error('the server has not proved itself')
    await this.open()
    this.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    await this.until('</iq>')
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** CPU of the server for a login, whose derivation is the client's or, of plain passwords, its own; beside one derivation alone. */
async function scramLogins(format: 'plain' | 'scram', { quick }: BenchOptions): Promise<Row> {
  const users = 20
  const server = await startGatehouse(users, { auth_password_format: format })
  const logins = quick ? 100 : 400
  const login = async (n: number) => {
    const client = new Client(server.port)
    await client.login(`load${n % users}`)
    client.close()
  }
  try {
    for (let n = 0; n < (quick ? 1000 : 3000); n++) await login(n)
    const contestants = [
      {
        name: 'login',
        async measure() {
          const begin = cpuOf(server.pid)
          for (let n = 0; n < logins; n++) await login(n)
          return { ms: ((cpuOf(server.pid) - begin) * 1000) / logins }
        },
      },
      {
        name: 'derivation',
        async measure() {
          const begin = process.cpuUsage()
          for (let n = 0; n < 100; n++)
            pbkdf2Sync(password, 'sixteen bytes it', scramIterations['SHA-256'], 32, 'sha256')
          const { user, system } = process.cpuUsage(begin)
          return { ms: (user + system) / 1000 / 100 }
        },
      },
    ]
    const rounds = await Rounds.run(contestants, quick ? 1 : 5)
    return {
      what: `SCRAM-SHA-256 logins a second of CPU, ${format === 'plain' ? 'plain passwords' : 'stored keys'}`,
      ours: 1000 / (rounds.figure('login', 'ms') ?? Number.NaN),
      other: 1000 / (rounds.figure('derivation', 'ms') ?? Number.NaN),
      beside: 'the derivation alone',
      goal: { atLeast: 0.8 },
    }
  } finally {
    await server.stop()
  }
}

/** Somebody with so many contacts who are all there becomes available: until he has seen all of them and himself. */
async function firstPresence(load: Load, { quick }: BenchOptions): Promise<Row> {
  const sizes = { few: 125, many: 500 }
  const server = await startGatehouse(sizes.many)
  try {
    for (const [user, contacts] of Object.entries(sizes)) {
      await server.ask('register_identified', { user, host: 'localhost', password })
      for (let n = 0; n < contacts; n++) {
        const both = { server: 'localhost', nick: '', group: '', subs: 'both' }
        await server.ask('add_rosteritem', befriended(user, `load${n}`, both))
        await server.ask('add_rosteritem', befriended(`load${n}`, user, both))
      }
    }
    const stay = load.run(
      server,
      'idle',
      false,
      '--users',
      String(sizes.many),
      '--seconds',
      quick ? '8' : '15',
    )
    await delay(4000)
    const times: Record<string, number[]> = { few: [], many: [] }
    for (let round = 0; round < (quick ? 10 : 40); round++) {
      for (const [user, contacts] of Object.entries(sizes)) {
        const client = new Client(server.port)
        await client.login(user)
        const begin = performance.now()
        client.send('<presence/>')
        await client.until('<presence', contacts + 1)
        times[user]?.push(((performance.now() - begin) * 1000) / contacts)
        client.close()
      }
    }
    await stay
    return {
      what: `first presence with ${sizes.many} contacts who are there, µs a contact`,
      ours: median(times['many'] ?? []),
      other: median(times['few'] ?? []),
      beside: `with ${sizes.few}`,
      goal: { atMost: 1.25 },
    }
  } finally {
    await server.stop()
  }
}

function befriended(user: string, contact: string, item: Readonly<Record<string, unknown>>) {
  return { localuser: user, localserver: 'localhost', user: contact, ...item }
}

/** What goes through a server with 20 messages a second in 24 hours, and everybody who comes and goes, as fast as it can. */
async function day(load: Load, { quick }: BenchOptions): Promise<Row[]> {
  const server = await startGatehouse(200)
  const base = residentMiB(server.pid)
  const messages = quick ? 200_000 : 1_728_000
  let done = 0
  let logins = 0
  const memory: number[] = []
  try {
    while (done < messages) {
      const seconds = quick ? 1 : 2
      const talk = ['--users', '200', '--seconds', String(seconds), '--inflight', '8']
      const { perSecond = 0 } = await load.run(server, 'chat', false, ...talk)
      done += perSecond * seconds
      for (let n = 0; n < 3; n++) await load.run(server, 'login', false, '--users', '200')
      logins += 800
      memory.push(residentMiB(server.pid))
    }
    const third = Math.ceil(memory.length / 3)
    return [
      { what: 'resident MiB before anybody logs in', ours: base, goal: { atMost: 90 } },
      {
        what: `resident MiB, last third of ${figure(done)} messages and ${figure(logins)} logins`,
        ours: median(memory.slice(-third)),
        other: median(memory.slice(third, 2 * third)),
        beside: 'second third',
        goal: { atMost: 1.05 },
      },
    ]
  } finally {
    await server.stop()
  }
}

export const serverLife: Bench = {
  name: 'server-life',
  doc: 'the server: memory at rest, logins by SCRAM, first presences, the traffic of a day',
  async run(options) {
    const load = await compile()
    try {
      const rows = [
        await scramLogins('scram', options),
        await scramLogins('plain', options),
        await firstPresence(load, options),
        ...(await day(load, options)),
      ]
      return tableOf('gatehouse', rows)
    } finally {
      load.remove()
    }
  },
}
