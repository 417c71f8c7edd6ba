/** A cable between a client and the server that can be pulled: neither end is told, or both are at the worst moment. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * reset: both ends see the connection break, and what was on its way is gone. silence: nothing passes any more, and nobody is
 * told. deaf: what the server says is lost first, what the client says still arrives for a moment.
 */
export const cuts = ['reset', 'silence', 'deaf'] as const
export type Cut = (typeof cuts)[number]

export class Cable {
  readonly port: number
  readonly #listener: Server
  readonly #ends: readonly { client: Socket; server: Socket }[]

  private constructor(listener: Server, ends: readonly { client: Socket; server: Socket }[]) {
    this.#listener = listener
    this.#ends = ends
    this.port = (listener.address() as AddressInfo).port
  }

  /** For one connection to that port of this machine. */
  static async to(port: number): Promise<Cable> {
    const ends: { client: Socket; server: Socket }[] = []
    const listener = createServer({ noDelay: true }, (client) => {
      const server = connect({ port, host: '127.0.0.1', noDelay: true })
      ends.push({ client, server })
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.on('data', (chunk) => to.write(chunk))
        from.on('end', () => to.end())
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
      }
    })
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    return new Cable(listener, ends)
  }

  cut(how: Cut): void {
    this.#listener.close()
    for (const { client, server } of this.#ends) {
      if (how === 'reset') {
        client.resetAndDestroy()
        server.resetAndDestroy()
        continue
      }
      // the client's end says nothing to the server's
      for (const event of ['end', 'close']) client.removeAllListeners(event)
      server.removeAllListeners('data')
      if (how === 'deaf') {
        server.resume()
        setTimeout(() => server.resetAndDestroy(), 20).unref()
      } else {
        server.pause()
        client.removeAllListeners('data')
        client.resume()
      }
    }
  }

  /** Leaves nothing open. */
  remove(): void {
    this.#listener.close()
    for (const { client, server } of this.#ends) {
      client.destroy()
      server.destroy()
    }
  }
}
