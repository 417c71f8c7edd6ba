/** What requests and answers look like on the pipe, by the kind of server at its other end. */
import { encodeAnswer, errorAnswer, FrameReader } from '../server-core/extauth/packets.ts'
import type { Outcome } from './outcome.ts'

export interface Wire {
  /** The requests that are complete now. */
  push(chunk: Buffer): Buffer[]
  /** Bytes of a request that is not complete. */
  readonly waiting: number
  encode(outcome: Outcome): Buffer
}

/** What a request gets when it could not be found out. */
export type FailureReply = 'deny' | 'error-frame'

/** Frames of ejabberd's protocol. Here alone a failure becomes bytes, as the configuration in use then says. */
export function frameWire(failureReply: () => FailureReply): Wire {
  const reader = new FrameReader()
  return {
    push: (chunk) => reader.push(chunk),
    get waiting() {
      return reader.waiting
    },
    encode({ kind }) {
      if (kind === 'failure' && failureReply() === 'error-frame') return errorAnswer
      return encodeAnswer(kind === 'allow')
    },
  }
}

/** A line that is longer is no request; what it had is dropped, and it is denied as one that cannot be read. */
const maxLine = 65_535

/** Lines of Prosody's mod_auth_external ("generic"): `op:user:host[:password]`, answered with `1`, `0`, or another word. */
export function lineWire(failureReply: () => FailureReply): Wire {
  let line = Buffer.alloc(0)
  return {
    push(chunk) {
      const requests: Buffer[] = []
      let rest = chunk
      for (let end = rest.indexOf(newline); end !== -1; end = rest.indexOf(newline)) {
        requests.push(trimmed(Buffer.concat([line, rest.subarray(0, end)])))
        line = Buffer.alloc(0)
        rest = rest.subarray(end + 1)
      }
      line = Buffer.concat([line, rest])
      // One byte stays, so that the line is not taken for an empty one.
      if (line.length > maxLine) line = line.subarray(0, 1)
      return requests
    },
    get waiting() {
      return line.length
    },
    encode({ kind }) {
      if (kind === 'failure' && failureReply() === 'error-frame') return Buffer.from('unavailable\n')
      return Buffer.from(kind === 'allow' ? '1\n' : '0\n')
    },
  }
}

const newline = 0x0a
const carriageReturn = 0x0d

function trimmed(line: Buffer): Buffer {
  return line.at(-1) === carriageReturn ? line.subarray(0, -1) : line
}
