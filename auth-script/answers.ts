/**
 * Where the answers go. Whatever else is printed in this process must not get among them: the launcher hands the server's pipe
 * over as descriptor 3 and makes standard output another name of standard error; without the launcher the pipe is opened once
 * more and standard output is sent to standard error from then on.
 */
import { createWriteStream, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'

/** `descriptor`: what the launcher named, undefined without it. `redirect` is to send standard output elsewhere. */
export function openAnswers(descriptor: number | undefined, redirect: () => void): Writable {
  if (descriptor !== undefined) return streamOf(descriptor)
  const answers = streamOf(again(1))
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

function streamOf(descriptor: number): Writable {
  const stat = fstatSync(descriptor)
  if (stat.isFIFO() || stat.isSocket()) return new Socket({ fd: descriptor, readable: false, writable: true })
  return createWriteStream('', { fd: descriptor, autoClose: false })
}
