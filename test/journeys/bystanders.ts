/** Two clients who have nothing to do with a story: whatever happens in it, they can talk. */
import { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import type { Server } from '../harness/server.ts'

export class Bystanders {
  readonly carol: TestClient
  readonly dave: TestClient
  #said = 0

  private constructor(carol: TestClient, dave: TestClient) {
    this.carol = carol
    this.dave = dave
  }

  /** Makes the two accounts and logs them in. */
  static async join(server: Server): Promise<Bystanders> {
    const clients: TestClient[] = []
    for (const user of ['carol', 'dave']) {
      await server.must('register_identified', user, 'localhost', user)
      clients.push(await TestClient.login({ port: server.tlsPort, tls: 'direct', user, password: user }))
    }
    return new Bystanders(clients[0] as TestClient, clients[1] as TestClient)
  }

  /** Each hears the other. */
  async talk(): Promise<void> {
    const body = `still here ${++this.#said}`
    this.carol.message(this.dave.jid, body)
    this.dave.message(this.carol.jid, body)
    for (const one of [this.carol, this.dave]) {
      await one.waitFor((stanza) => stanza.children.some(({ text }) => text === body))
    }
  }
}

/** The lines of the log with that message; waits for one behind the first `after`. */
export function logged(server: Server, msg: string, after = 0): Promise<readonly Record<string, unknown>[]> {
  return until(
    () => `a line "${msg}" in the log:\n${server.log().split('\n').slice(-30).join('\n')}`,
    () => {
      const lines = linesOf(server, msg)
      return lines.length > after && lines
    },
  )
}

export function linesOf(server: Server, msg: string): readonly Record<string, unknown>[] {
  return server
    .log()
    .split('\n')
    .filter((line) => line.includes(`"msg":"${msg}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
