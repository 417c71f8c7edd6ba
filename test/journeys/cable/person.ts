/**
 * Somebody whose cable is pulled again and again: sends all the time, acknowledges what comes, resumes or logs in anew, and
 * keeps a ledger of what has certainly arrived and what was certainly taken.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { TestClient } from '../../harness/client.ts'
import { at, type Stanza } from '../../harness/stanza.ts'
import { Cable, type Cut } from './cable.ts'

const sm = 'urn:xmpp:sm:3'
const wrapped = (name: string, attributes = '') => `<${name} xmlns='${sm}'${attributes}/>`

/** A message of somebody: 'alice 17'. */
export type Letter = string

interface Sent {
  /** Absent for what is no message. */
  readonly letter?: Letter
  readonly text: string
}

interface Session {
  readonly id: string
  /** Stanzas that came. */
  heard: number
  /** For each of them, how long `received` was then. */
  readonly lengths: number[]
  /** What the server has not taken yet. */
  readonly sent: Sent[]
  taken: number
  /** What was acknowledged with each request that waits for its answer; 0 with none. */
  readonly asked: number[]
}

export class Person {
  readonly name: string
  /** What came, in order. A session that was given up takes back what it had not certainly confirmed. */
  readonly received: Letter[] = []
  /** Had come to a session that was given up before the server certainly knew: it may come once more. */
  readonly uncertain = new Set<Letter>()
  /** The server has acknowledged it. */
  readonly acknowledged: Letter[] = []
  readonly #port: number
  readonly #random: () => number
  readonly #peers: readonly string[]
  readonly #numbers = new Map<string, number>()
  #client: TestClient | undefined
  #cable: Cable | undefined
  #session: Session | undefined
  #counts = false
  /** So many of `received` are certain. */
  #confirmed = 0
  #isWriting = true

  constructor(name: string, port: number, peers: readonly string[], random: () => number) {
    this.name = name
    this.#port = port
    this.#peers = peers
    this.#random = random
  }

  /** Whether the server has taken everything. */
  get isDone(): boolean {
    return this.#client !== undefined && this.#session?.sent.length === 0
  }

  /** Writes to everybody until it is told to stop. */
  async write(): Promise<void> {
    while (this.#isWriting) {
      await delay(this.#random() * 8)
      if (!this.#client || !this.#session || this.#session.sent.length > 60) continue
      const to = this.#peers[Math.floor(this.#random() * this.#peers.length)] ?? ''
      const number = (this.#numbers.get(to) ?? 0) + 1
      this.#numbers.set(to, number)
      const letter = `${this.name} ${to} ${number}`
      this.#say({
        letter,
        text: `<message type='chat' to='${to}@localhost'><body>${letter}</body></message>`,
      })
      if (this.#random() < 0.2) this.ask()
      if (this.#random() < 0.2) this.confirm()
    }
  }

  stopWriting(): void {
    this.#isWriting = false
  }

  #say(sent: Sent): void {
    this.#session?.sent.push(sent)
    this.#client?.send(sent.text)
  }

  /** Asks what the server has taken. */
  ask(): void {
    this.#session?.asked.push(0)
    this.#client?.send(wrapped('r'))
  }

  /** Says what has come, and asks for a word from behind it. */
  confirm(): void {
    const heard = this.#session?.heard ?? 0
    this.#session?.asked.push(heard)
    this.#client?.send(wrapped('a', ` h='${heard}'`) + wrapped('r'))
  }

  /** The cable is pulled; in a while the session is resumed, is found to be over, or is left for a new one. */
  async lose(how: Cut, then: 'resume' | 'start anew', ms: number): Promise<void> {
    const [client, cable] = [this.#client, this.#cable]
    this.#client = undefined
    cable?.cut(how)
    client?.destroy()
    await delay(ms)
    await this.connect(then)
    cable?.remove()
  }

  async connect(how: 'resume' | 'start anew' = 'start anew'): Promise<void> {
    this.#cable = await Cable.to(this.#port)
    const client = await TestClient.connect({ port: this.#cable.port, tls: 'none' })
    await client.open()
    await client.authenticate(this.name, 'pw', 'PLAIN')
    this.#counts = false
    client.tap((stanza) => this.#hear(stanza, client))
    const before = this.#session
    if (before && how === 'resume') {
      before.asked.length = 0
      client.send(wrapped('resume', ` previd='${before.id}' h='${before.heard}'`))
      const answer = await client.waitFor(({ xmlns }) => xmlns === sm)
      if (answer.attrs['h'] === undefined) throw new Error(`no h\n${client.transcript()}`)
      if (answer.name === 'resumed') {
        this.#client = client
        for (const { text } of before.sent) client.send(text)
        return
      }
      this.#taken(Number(answer.attrs['h']))
    }
    await this.#begin(client, how === 'resume' ? (before?.sent ?? []) : [])
  }

  /** Binds, with the messages that certainly were not taken before; what may have been is not said twice. */
  async #begin(client: TestClient, again: readonly Sent[]): Promise<void> {
    // what came to the session before, and may be thought not to have come, is not in the ledger any more
    for (const letter of this.received.splice(this.#confirmed)) this.uncertain.add(letter)
    this.#session = undefined
    await client.bind('phone')
    client.send(wrapped('enable', " resume='true'"))
    await client.waitFor('enabled')
    this.#client = client
    this.#say({ text: '<presence><priority>1</priority></presence>' })
    for (const sent of again) if (sent.letter) this.#say(sent)
  }

  /** True for what is dealt with here. */
  #hear(stanza: Stanza, client: TestClient): boolean {
    const { name, xmlns, attrs } = stanza
    if (xmlns === sm) return this.#hearOfStreams(name, attrs, client)
    if (xmlns !== 'jabber:client') return false
    const letter = name === 'message' && attrs['type'] !== 'error' ? at(stanza, 'body')?.text : undefined
    if (letter !== undefined) this.received.push(letter)
    if (!this.#counts) {
      // nobody counts it: it has come when it is here
      this.#confirmed = this.received.length
      return name !== 'iq'
    }
    if (this.#session) this.#session.heard++
    this.#session?.lengths.push(this.received.length)
    return true
  }

  #hearOfStreams(name: string, attrs: Stanza['attrs'], client: TestClient): boolean {
    if (name === 'enabled') {
      this.#session = { id: attrs['id'] ?? '', heard: 0, lengths: [], sent: [], taken: 0, asked: [] }
      this.#counts = true
    } else if (name === 'resumed') {
      this.#taken(Number(attrs['h']))
      this.#counts = true
    } else if (name === 'r') {
      client.send(wrapped('a', ` h='${this.#session?.heard ?? 0}'`))
      return true
    } else if (name === 'a') {
      this.#taken(Number(attrs['h']))
      // the answer to the oldest question: what was acknowledged with it has arrived
      const heard = this.#session?.asked.shift() ?? 0
      const length = this.#session?.lengths[heard - 1] ?? 0
      this.#confirmed = Math.max(this.#confirmed, length)
      return true
    }
    return false
  }

  /** The server has dealt with that many stanzas of this session. */
  #taken(h: number): void {
    const session = this.#session
    if (!session) return
    for (const { letter } of session.sent.splice(0, h - session.taken)) {
      if (letter) this.acknowledged.push(letter)
    }
    session.taken = h
  }

  async close(): Promise<void> {
    await this.#client?.close()
    this.#cable?.remove()
  }
}
