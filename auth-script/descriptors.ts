/** Where requests come from, and where answers go. */
import { createReadStream, createWriteStream, fstatSync, openSync, writeSync } from 'node:fs'
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'
import type { Readable } from 'node:stream'
import type { Output } from './serve.ts'

const readAtOnce = 65_536

/** Standard input, of which nothing else may read then. All is read into one buffer; a stream gets a new one for each read. */
export function openRequests(): Readable {
  if (!isPipe(0)) return createReadStream('', { fd: 0, autoClose: false })
  const buffer = Buffer.allocUnsafe(readAtOnce)
  const callback = (length: number) => requests.emit('data', Buffer.from(buffer.subarray(0, length)))
  // Node's documentation names onread here; the types know it for connect only.
  const options: SocketConstructorOpts & { readonly onread: OnReadOpts } = {
    fd: 0,
    readable: true,
    writable: false,
    onread: { buffer, callback },
  }
  const requests = new Socket(options)
  return requests
}

/**
 * Whatever else is printed in this process must not get among the answers: the launcher hands the server's pipe over as
 * descriptor 3 and makes standard output another name of standard error; without the launcher the pipe is opened once more and
 * standard output is sent to standard error from then on. `descriptor`: what the launcher named, undefined without it. `redirect` is
 * to send standard output elsewhere.
 */
export function openAnswers(descriptor: number | undefined, redirect: () => void): Output {
  if (descriptor !== undefined) return outputOf(descriptor)
  const answers = outputOf(again(1))
  redirect()
  return answers
}

/** The same pipe under a number of its own; where that is not possible (sockets), the number itself. */
function again(descriptor: number): number {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, 'w')
  } catch {
    return descriptor
  }
}

function outputOf(descriptor: number): Output {
  if (!isPipe(descriptor)) return { stream: createWriteStream('', { fd: descriptor, autoClose: false }) }
  // With a socket of Node's about it a descriptor never blocks.
  const stream = new Socket({ fd: descriptor, readable: false, writable: true })
  // Its number may be another file's by the time that the socket is known to be closed.
  return { stream, writeNow: (bytes) => (stream.destroyed ? 0 : written(descriptor, bytes)) }
}

function written(descriptor: number, bytes: Buffer): number {
  try {
    return writeSync(descriptor, bytes)
  } catch {
    return 0
  }
}

function isPipe(descriptor: number): boolean {
  const stat = fstatSync(descriptor)
  return stat.isFIFO() || stat.isSocket()
}
