import { PassThrough, Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Result, Signals } from '../../auth-script/outcome.ts'
import { Serving } from '../../auth-script/serve.ts'
import { frameWire } from '../../auth-script/wire.ts'
import { BackendUnavailable } from '../../server-core/auth/backend.ts'
import { Throttle } from '../../server-core/auth/throttle.ts'
import { silentLogger } from '../../server-core/log.ts'
import { before, until } from '../harness/deadline.ts'
import { frame } from '../harness/extauth.ts'

const allow: Result = { outcome: { kind: 'allow' } }

/** What `carryOut` does with a request; its text is given. */
type CarryOut = (text: string, signals: Signals) => Promise<Result>

function serve(
  carryOut: CarryOut,
  options: { deadline?: number; output?: Writable; writeNow?: (bytes: Buffer) => number } = {},
) {
  const input = new PassThrough()
  const answers: string[] = []
  const output =
    options.output ??
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        answers.push(chunk.subarray(2).toString('hex'))
        done()
      },
    })
  const serving = new Serving({
    input,
    output: { stream: output, ...(options.writeNow && { writeNow: options.writeNow }) },
    wire: frameWire(() => 'error-frame'),
    deadline: () => options.deadline ?? 5000,
    carryOut: (payload, signals) => carryOut(payload.toString(), signals),
    log: silentLogger(),
  })
  return { input, answers, serving, end: serving.run() }
}

/** Waits for the signal; rejects with its reason. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })
}

describe('serving', () => {
  test('one request at a time, in order', async () => {
    const running: string[] = []
    const { input, answers, end } = serve(async (text) => {
      running.push(`${text} begins`)
      await new Promise((resolve) => setTimeout(resolve, text === 'one' ? 20 : 0))
      running.push(`${text} ends`)
      return text === 'two' ? { outcome: { kind: 'deny', reason: 'no' } } : allow
    })
    input.end(Buffer.concat(['one', 'two', 'three'].map((text) => frame(text))))
    expect(await end).toBe('done')
    expect(answers).toEqual(['0001', '0000', '0001'])
    expect(running).toEqual(['one', 'two', 'three'].flatMap((text) => [`${text} begins`, `${text} ends`]))
  })

  test.each([
    ['an outage', new BackendUnavailable('down')],
    ['a fault', new TypeError('undefined is not a function')],
    ['something that is no error', undefined],
  ])('%s is a failure, and the next request is answered', async (_, thrown) => {
    const { input, answers, end } = serve((text) =>
      text === 'bad' ? Promise.reject(thrown) : Promise.resolve(allow),
    )
    input.end(Buffer.concat([frame('bad'), frame('good')]))
    expect(await end).toBe('done')
    expect(answers).toEqual(['0002', '0001'])
  })

  test('what hangs is a failure at its deadline, and what waited behind it has its own from its arrival', async () => {
    const begun: string[] = []
    const { input, answers, end } = serve(
      (text) => {
        begun.push(text)
        return text === 'hang' ? new Promise(() => undefined) : Promise.resolve(allow)
      },
      { deadline: 200 },
    )
    input.write(Buffer.concat([frame('hang'), frame('late')]))
    await until('two answers', () => answers.length === 2)
    input.end(frame('fresh'))
    expect(await end).toBe('done')
    expect(answers).toEqual(['0002', '0002', '0001'])
    expect(begun).toEqual(['hang', 'fresh'])
  })

  test('a change that was made just before its deadline is not denied', async () => {
    const { input, answers, end } = serve(
      async (_, { change }) => {
        await aborted(change).catch(() => undefined)
        return allow
      },
      { deadline: 50 },
    )
    input.end(frame('setpass'))
    expect(await end).toBe('done')
    expect(answers).toEqual(['0001'])
  })

  test('the end of the input stops the change that is being made, and nothing else', async () => {
    const reasons: string[] = []
    const { input, answers, end } = serve(async (text, { change, deadline }) => {
      if (text === 'change') await aborted(change).catch((reason: Error) => reasons.push(reason.message))
      return deadline.aborted || (text === 'change' && change.aborted) ? Promise.reject(change.reason) : allow
    })
    input.end(Buffer.concat([frame('read'), frame('change'), frame('read'), frame('change')]))
    expect(await end).toBe('done')
    expect(answers).toEqual(['0001', '0002', '0001', '0002'])
    expect(reasons).toEqual(['the input has ended', 'the input has ended'])
  })

  test('reads ahead only so far', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const { input, answers, end } = serve(async () => {
      await gate
      return allow
    })
    const many = Buffer.concat(Array.from({ length: 100 }, () => frame('x'.repeat(60))))
    let written = 0
    while (input.write(many) || written < 20) {
      written++
      await new Promise((resolve) => setImmediate(resolve))
      if (written > 1000) break
    }
    expect(input.isPaused()).toBe(true)
    expect(written).toBeLessThan(100)
    release()
    input.end()
    expect(await end).toBe('done')
    expect(answers.length).toBe((written + 1) * 100)
  })

  test('answers that fit go out at once; what does not fit waits its turn in the stream, and later ones behind it', async () => {
    const log: string[] = []
    let release: () => void = () => undefined
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        log.push(`stream ${chunk.toString('hex')}`)
        release = done
      },
    })
    const room = [4, 1, 4]
    const writeNow = (bytes: Buffer) => {
      const taken = Math.min(room.shift() ?? 0, bytes.length)
      log.push(`now ${bytes.subarray(0, taken).toString('hex')}`)
      return taken
    }
    const { input, end } = serve(async () => allow, { output, writeNow })
    input.write(frame('isuser:one:h'))
    await until('the first is out', () => log.length === 1)
    input.write(frame('isuser:two:h'))
    await until('the second is begun', () => log.length === 3)
    input.write(frame('isuser:three:h'))
    await until('the third waits', () => output.writableLength === 7)
    release()
    await until('the third is begun', () => log.length === 4)
    release()
    await until('all is out', () => output.writableLength === 0)
    input.end(frame('isuser:four:h'))
    expect(await end).toBe('done')
    expect(log).toEqual(['now 00020001', 'now 00', 'stream 020001', 'stream 00020001', 'now 00020001'])
  })

  test('ends when the answers cannot be written, with what is being changed stopped', async () => {
    const output = new Writable({
      write(_chunk, _encoding, done) {
        done(new Error('EPIPE'))
      },
    })
    const seen: string[] = []
    const { input, end } = serve(
      async (text) => {
        seen.push(text)
        return allow
      },
      { output },
    )
    input.write(Buffer.concat([frame('one'), frame('two')]))
    expect(await before(5000, 'the end', end)).toBe('unread')
    expect(seen).toEqual(['one'])
  })

  test('told to stop, answers what it is about and begins nothing else', async () => {
    const seen: string[] = []
    const { input, answers, serving, end } = serve(async (text) => {
      seen.push(text)
      serving.stop()
      return allow
    })
    input.write(Buffer.concat([frame('one'), frame('two')]))
    expect(await end).toBe('done')
    expect([seen, answers]).toEqual([['one'], ['0001']])
  })

  test('notices an input that ends inside a request', async () => {
    const { input, answers, end } = serve(async () => allow)
    input.end(Buffer.concat([frame('one'), Buffer.from([0, 9, 0x61])]))
    expect(await end).toBe('cut')
    expect(answers).toEqual(['0001'])
  })
})

describe('guessing', () => {
  test('is slowed after ten wrong passwords in a row for one account, up to a limit', () => {
    const throttle = new Throttle(250)
    const held = Array.from({ length: 16 }, () => throttle.wrong('ann', 'a.example'))
    expect(held.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 0))
    expect(held.slice(10)).toEqual([50, 100, 200, 250, 250, 250])
    expect(throttle.wrong('bob', 'a.example')).toBe(0)
    expect(throttle.wrong('ann', 'b.example')).toBe(0)
    throttle.right('ann', 'a.example')
    expect(throttle.wrong('ann', 'a.example')).toBe(0)
  })

  test('of many accounts does not fill the memory', () => {
    const throttle = new Throttle(250)
    for (let i = 0; i < 11; i++) throttle.wrong('ann', 'a.example')
    for (let i = 0; i < 10_000; i++) throttle.wrong(`user-${i}`, 'a.example')
    expect(throttle.wrong('ann', 'a.example')).toBe(0)
  })

  test('may be left alone', () => {
    const throttle = new Throttle(0)
    const held = Array.from({ length: 30 }, () => throttle.wrong('ann', 'a.example'))
    expect(new Set(held)).toEqual(new Set([0]))
  })
})
