import { createServer, type Socket, connect as tcpConnect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { configSchema } from '../../server-core/config/schema.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { silentLogger } from '../../server-core/log.ts'
import { AddressLimits } from '../../server-core/net/address-limits.ts'
import type { Connection } from '../../server-core/net/connection.ts'
import { type Listener, type ListenerContext, listen } from '../../server-core/net/listener.ts'
import { until } from '../harness/deadline.ts'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

function entry(more: Record<string, unknown> = {}) {
  const { listen: entries } = configSchema.parse({
    listen: [{ port: 0, ip: '127.0.0.1', module: 'c2s', ...more }],
  })
  return entries[0] ?? expect.fail()
}

interface Open {
  readonly listener: Listener
  readonly context: ListenerContext
  readonly connections: Connection[]
}

async function open(more: Record<string, unknown> = {}, start?: () => void): Promise<Open> {
  const log = silentLogger()
  const connections: Connection[] = []
  const context: ListenerContext = {
    hooks: new HookRegistry(log),
    limits: new AddressLimits({ connectionsPerAddress: 1, failedLoginsPerMinute: 1, exempt: [] }),
    connectionLimits: { sendTimeout: 500, maxOutputBytes: 1e6, closeTimeout: 500, tlsHandshakeTimeout: 500 },
    log,
  }
  const listener = await listen(entry(more), context, (connection) => {
    start?.()
    connections.push(connection)
    connection.handle({ onData: () => undefined, onClose: () => undefined })
  })
  ends.push(() => {
    listener.close()
    for (const connection of connections) connection.destroy('the test is over')
  })
  return { listener, context, connections }
}

interface Peer {
  readonly socket: Socket
  readonly got: Buffer[]
  readonly closed: Promise<void>
}

function connect({ port }: Listener, ip = '127.0.0.1'): Peer {
  const socket = tcpConnect(port, ip)
  ends.push(() => socket.destroy())
  const got: Buffer[] = []
  socket.on('data', (chunk) => got.push(chunk))
  socket.on('error', () => undefined)
  return { socket, got, closed: new Promise((resolve) => socket.once('close', () => resolve())) }
}

describe('a listener', () => {
  it('tells its real port, and starts a connection for each that comes', async () => {
    const { listener, connections } = await open()
    expect(listener).toMatchObject({ ip: '127.0.0.1', tls: false })
    expect(listener.port).toBeGreaterThan(0)
    connect(listener)
    connect(listener)
    await until('both', () => connections.length === 2)
    expect(connections[0]?.remoteAddress).toBe('127.0.0.1')
  })

  it('on :: hears both families, or IPv4 alone where there is no IPv6', async () => {
    const { listener, connections } = await open({ ip: '::' })
    expect(['::', '0.0.0.0']).toContain(listener.ip)
    connect(listener)
    await until('it', () => connections.length === 1)
  })

  it('asks check_bl_c2s before anything is said, also when that takes its time', async () => {
    const { listener, context, connections } = await open()
    const asked: string[] = []
    const undo = context.hooks.add('check_bl_c2s', '', async (_blocked, { address }) => {
      asked.push(address)
      await new Promise((resolve) => setImmediate(resolve))
      return true
    })
    const peer = connect(listener)
    await peer.closed
    expect([asked, peer.got, connections]).toEqual([['127.0.0.1'], [], []])
    undo()
    connect(listener)
    await until('the next', () => connections.length === 1)
  })

  it('closes what the limits of an address do not let, before anything is said', async () => {
    const { listener, context, connections } = await open()
    // loopback is exempt, so this one has to seem to come from elsewhere
    const { limits } = context
    const [connectTo, seen] = [limits.connect.bind(limits), [] as string[]]
    limits.connect = (address) => {
      seen.push(address)
      return connectTo('192.0.2.7')
    }
    connect(listener)
    await until('the first', () => connections.length === 1)
    const second = connect(listener)
    second.socket.write('hello')
    await second.closed
    expect([second.got, connections.length, seen]).toEqual([[], 1, ['127.0.0.1', '127.0.0.1']])
  })

  it('closes what cannot be started, and goes on', async () => {
    let broken = true
    const { listener, connections } = await open({}, () => {
      if (broken) throw new Error('no logic')
    })
    await connect(listener).closed
    broken = false
    connect(listener)
    await until('the next', () => connections.length === 1)
  })

  it('accepts no more when it is closed; who is there stays', async () => {
    const { listener, connections } = await open()
    const first = connect(listener)
    await until('the first', () => connections.length === 1)
    listener.close()
    await connect(listener).closed
    connections[0]?.write('still here')
    await until('it', () => Buffer.concat(first.got).toString() === 'still here')
  })
})

describe('a port that cannot be opened', () => {
  it('is named with the reason and what to do', async () => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
    ends.push(() => squatter.close())
    const { port } = squatter.address() as { port: number }
    await expect(open({ port })).rejects.toThrow(
      `port ${port} on 127.0.0.1 is in use: stop the program that has it, or give another port under listen`,
    )
    await expect(open({ ip: '192.0.2.1' })).rejects.toThrow(
      'port 0 on 192.0.2.1: this machine has no such address',
    )
  })
})
