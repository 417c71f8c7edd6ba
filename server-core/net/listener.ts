/** A listening port: accepts, checks the address, and starts a connection (server-behaviour: listener, socket, receiver). */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { C2sListener } from '../config/schema.ts'
import type { HookRegistry } from '../extend/hook-registry.ts'
import type { Logger } from '../log.ts'
import type { AddressLimits } from './address-limits.ts'
import { Connection, type ConnectionLimits } from './connection.ts'

export interface Listener {
  readonly ip: string
  /** The real one, also when 0 was asked for. */
  readonly port: number
  readonly tls: boolean
  /** Accepts no more; connections that are there stay. */
  close(): void
}

export interface ListenerContext {
  readonly hooks: HookRegistry
  readonly limits: AddressLimits
  readonly connectionLimits: ConnectionLimits
  readonly log: Logger
}

/** Rejects with an Error that says which port could not be opened, and why in words. */
export async function listen(
  entry: C2sListener,
  context: ListenerContext,
  start: (connection: Connection) => void,
): Promise<Listener> {
  const server = createServer({ noDelay: true, keepAlive: true, pauseOnConnect: true }, (socket) => {
    void accept(socket, context, start)
  })
  let { ip } = entry
  try {
    await open(server, entry, ip)
  } catch (error) {
    // '::' means every address; without IPv6 those are the IPv4 ones
    if (
      ip !== '::' ||
      !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes((error as NodeJS.ErrnoException).code ?? '')
    ) {
      throw explain(entry, error as NodeJS.ErrnoException)
    }
    ip = '0.0.0.0'
    await open(server, entry, ip)
  }
  server.on('error', (err) => context.log.error({ err, port: entry.port }, 'a listener has a problem'))
  return { ip, port: (server.address() as AddressInfo).port, tls: entry.tls, close: () => server.close() }
}

function open(server: Server, { port, backlog }: C2sListener, ip: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host: ip, backlog }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

async function accept(
  socket: Socket,
  context: ListenerContext,
  start: (connection: Connection) => void,
): Promise<void> {
  const address = socket.remoteAddress
  socket.on('error', () => socket.destroy())
  if (address === undefined || !context.limits.connect(address)) {
    socket.destroy()
    return
  }
  socket.once('close', () => context.limits.disconnect(address))
  if (context.hooks.has('check_bl_c2s', '')) {
    if (await context.hooks.fold('check_bl_c2s', '', false, { address })) {
      socket.destroy()
      return
    }
  }
  if (socket.destroyed) return
  const connection = new Connection(socket, context.connectionLimits)
  try {
    start(connection)
  } catch (err) {
    context.log.error({ err, address }, 'a connection could not be started')
    connection.destroy('internal error')
    return
  }
  connection.resume()
}

function explain(entry: C2sListener, error: NodeJS.ErrnoException): Error {
  const where = `port ${entry.port} on ${entry.ip}`
  if (error.code === 'EADDRINUSE') {
    return new Error(`${where} is in use: stop the program that has it, or give another port under listen`)
  }
  if (error.code === 'EACCES') {
    return new Error(
      `${where} may not be opened: ports below 1024 need a privilege; give a higher one under listen`,
    )
  }
  if (error.code === 'EADDRNOTAVAIL') return new Error(`${where}: this machine has no such address`)
  return new Error(`${where} cannot be opened: ${error.message}`)
}
