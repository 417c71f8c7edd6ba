/**
 * The servers of a directory, in order of preference. A question that gets no answer is asked once more, elsewhere if there
 * is an elsewhere; a change is never sent twice. What then has no answer is an outage, and never a no.
 */
import type { Logger } from '../../log.ts'
import { BackendUnavailable } from '../backend.ts'
import { check, type Deadline } from './deadline.ts'
import { NoAnswer } from './no-answer.ts'
import type { LdapOptions } from './options.ts'
import { Server } from './server.ts'

export class Directory {
  readonly servers: readonly Server[]

  constructor(options: LdapOptions, log: Logger) {
    this.servers = options.ldap_servers.map((address) => new Server(address, options, log))
  }

  /** The one that would be asked now; undefined when there is none. */
  get preferred(): Server | undefined {
    return this.#inOrder()[0]
  }

  /** Throws BackendUnavailable, or the signal's reason. `work` may be called twice. */
  async ask<T>(deadline: Deadline, work: (server: Server) => Promise<T>): Promise<T> {
    return await this.#attempt(deadline, work, 2)
  }

  /** The same for what changes something. */
  async change<T>(deadline: Deadline, work: (server: Server) => Promise<T>): Promise<T> {
    return await this.#attempt(deadline, work, 1)
  }

  close(): void {
    for (const server of this.servers) server.close()
  }

  async #attempt<T>(deadline: Deadline, work: (server: Server) => Promise<T>, attempts: number): Promise<T> {
    const order = this.#inOrder()
    const complaints = new Set<string>()
    for (let server = order.shift(); server !== undefined; server = order.shift()) {
      try {
        const answer = await work(server)
        server.up()
        return answer
      } catch (error) {
        if (!(error instanceof NoAnswer)) throw error
        complaints.add(`${server.name}: ${error.message}`)
        if (error.kind === 'unreachable' || error.kind === 'lost') server.down(error)
        deadline.signal.throwIfAborted()
        if (error.kind === 'lost' || error.kind === 'troubled') attempts -= 1
        if (attempts === 0 || isOver(deadline)) break
        if (order.length === 0 && error.kind === 'lost') order.push(server)
      }
    }
    throw new BackendUnavailable(`no answer from the directory: ${[...complaints].join('; ')}`)
  }

  /** Those that are out are tried too, as nobody can know that they still are. */
  #inOrder(): Server[] {
    const isUp = ({ isUp }: Server) => isUp
    return [...this.servers.filter(isUp), ...this.servers.filter((server) => !isUp(server))]
  }
}

function isOver(deadline: Deadline): boolean {
  try {
    check(deadline)
    return false
  } catch {
    return true
  }
}
