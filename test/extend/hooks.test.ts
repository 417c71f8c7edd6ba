import fc from 'fast-check'
import { pino } from 'pino'
import { beforeEach, describe, expect, it, test, vi } from 'vitest'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { stop } from '../../server-core/extend/hooks.ts'
import { silentLogger } from '../../server-core/log.ts'
import { el } from '../../server-core/xml/element.ts'
import { parseJid } from '../../server-core/xmpp/jid.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'

const host = 'verona.example'
const romeo = parseJid('romeo@verona.example/orchard') ?? expect.fail()

function packet(body: string): Stanza {
  return new Stanza(romeo, romeo.bare, el('message', {}, el('body', {}, body)))
}

/** Features are a fold with a list: what each handler adds shows who ran, and when. */
const info = { host, from: romeo, to: romeo.bare, node: '', lang: '' }

let hooks: HookRegistry
beforeEach(() => {
  hooks = new HookRegistry(silentLogger())
})

function adds(feature: string, seq?: number, at = host): () => void {
  return hooks.add('disco_local_features', at, (list) => [...list, feature], seq)
}

const features = () => hooks.fold('disco_local_features', host, [], info)

describe('order', () => {
  it('runs lower numbers first, equal ones in the order of adding, 50 unless told otherwise', () => {
    adds('last', 90)
    adds('b')
    adds('c', 50)
    adds('first', -5)
    adds('a', 49)
    expect(features()).toEqual(['first', 'a', 'b', 'c', 'last'])
  })

  it('keeps hosts apart, and the whole server from all of them', () => {
    adds('here')
    adds('there', 50, 'mantua.example')
    adds('everywhere', 50, '')
    expect(features()).toEqual(['here'])
    expect(hooks.fold('disco_local_features', '', [], info)).toEqual(['everywhere'])
  })

  it('does nothing when the same handler is added again with the same number', () => {
    const same = (list: readonly string[]) => [...list, 'once']
    hooks.add('disco_local_features', host, same, 10)
    hooks.add('disco_local_features', host, same, 10)
    expect(features()).toEqual(['once'])
    hooks.add('disco_local_features', host, same, 11)
    expect(features()).toEqual(['once', 'once'])
  })
})

describe('taking away', () => {
  it('undoes one registration and leaves the others', () => {
    adds('a')
    const undo = adds('b')
    adds('c')
    undo()
    expect(features()).toEqual(['a', 'c'])
    undo()
    expect(features()).toEqual(['a', 'c'])
  })

  it('is as if nobody had ever listened, after the last has gone', () => {
    const undo = adds('a')
    expect(hooks.has('disco_local_features', host)).toBe(true)
    undo()
    expect(hooks.has('disco_local_features', host)).toBe(false)
    expect(features()).toEqual([])
  })

  it('takes away by the same four things that were added', () => {
    const handler = (list: readonly string[]) => [...list, 'x']
    hooks.add('disco_local_features', host, handler, 10)
    hooks.delete('disco_local_features', host, handler, 11)
    hooks.delete('disco_local_features', 'mantua.example', handler, 10)
    hooks.delete('disco_sm_features', host, handler, 10)
    expect(features()).toEqual(['x'])
    hooks.delete('disco_local_features', host, handler, 10)
    expect(features()).toEqual([])
  })

  it('lets a run that is under way go on as it began', () => {
    const undo: (() => void)[] = []
    hooks.add('disco_local_features', host, (list) => {
      for (const one of undo) one()
      return [...list, 'a']
    })
    undo.push(adds('b'))
    expect(features()).toEqual(['a', 'b'])
    expect(features()).toEqual(['a'])
  })

  it('counts what an owner still has', () => {
    const undo = hooks.add('user_available_hook', host, () => undefined, 50, 'mod_x')
    hooks.add('filter_packet', '', (stanza) => stanza, 50, 'mod_x')
    hooks.add('filter_packet', '', () => undefined, 50, 'mod_y')
    expect(hooks.ownedBy('mod_x')).toBe(2)
    undo()
    expect(hooks.ownedBy('mod_x')).toBe(1)
  })
})

describe('fold', () => {
  it('hands on what the last one left; who returns nothing leaves it as it is', () => {
    hooks.add('filter_packet', '', () => packet('changed'))
    hooks.add('filter_packet', '', () => undefined)
    const seen: (Stanza | null)[] = []
    hooks.add('filter_packet', '', (stanza) => {
      seen.push(stanza)
      return stanza
    })
    const result = hooks.fold('filter_packet', '', packet('as sent'), {})
    expect(seen).toEqual([packet('changed')])
    expect(result).toEqual(packet('changed'))
  })

  it('ends with the value of stop', () => {
    hooks.add('disco_local_features', host, () => stop(['enough']))
    adds('never')
    expect(features()).toEqual(['enough'])
  })

  it('ends with null: the packet is dropped and nobody behind sees it', () => {
    const seen: unknown[] = []
    hooks.add('filter_packet', '', () => null)
    hooks.add('filter_packet', '', (stanza) => {
      seen.push(stanza)
    })
    expect(hooks.fold('filter_packet', '', packet('x'), {})).toBeNull()
    expect(seen).toEqual([])
  })

  it('keeps falsy results that are not null: false is a value', () => {
    hooks.add('check_bl_c2s', '', () => true)
    hooks.add('check_bl_c2s', '', () => false)
    expect(hooks.fold('check_bl_c2s', '', true, { address: '::1' })).toBe(false)
  })
})

describe('run', () => {
  it('tells everybody and says that nobody took it', () => {
    const told: string[] = []
    hooks.add('user_available_hook', host, () => told.push('a'))
    hooks.add('user_available_hook', host, () => told.push('b'))
    expect(hooks.run('user_available_hook', host, { jid: romeo })).toBe(false)
    expect(told).toEqual(['a', 'b'])
  })

  it('ignores results, ends with stop, and says so', () => {
    const told: string[] = []
    hooks.add('offline_message_hook', host, () => 'ignored', 10)
    hooks.add('offline_message_hook', host, () => stop(), 20)
    hooks.add('offline_message_hook', host, () => told.push('too late'), 30)
    expect(hooks.run('offline_message_hook', host, { stanza: packet('x') })).toBe(true)
    expect(told).toEqual([])
  })
})

describe('handlers that wait', () => {
  it('gives its result at once when nobody waits', () => {
    adds('a')
    expect(features()).not.toBeInstanceOf(Promise)
    expect(hooks.run('user_available_hook', host, { jid: romeo })).toBe(false)
  })

  it('awaits them in turn, mixed with those that do not', async () => {
    const order: string[] = []
    hooks.add('disco_local_features', host, async (list) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      order.push('slow')
      return [...list, 'slow']
    })
    hooks.add('disco_local_features', host, (list) => {
      order.push('fast')
      return [...list, 'fast']
    })
    hooks.add('disco_local_features', host, async () => undefined)
    expect(await features()).toEqual(['slow', 'fast'])
    expect(order).toEqual(['slow', 'fast'])
  })

  it('knows stop and null in a promise', async () => {
    hooks.add('filter_packet', '', async () => null)
    expect(await hooks.fold('filter_packet', '', packet('x'), {})).toBeNull()
    hooks.add('offline_message_hook', host, async () => stop())
    expect(await hooks.run('offline_message_hook', host, { stanza: packet('x') })).toBe(true)
    hooks.add('disco_local_features', host, async () => stop(['enough']))
    adds('never')
    expect(await features()).toEqual(['enough'])
  })
})

describe('a handler that fails', () => {
  const lines: { hook?: string; module?: string; err?: { message: string } }[] = []
  beforeEach(() => {
    lines.length = 0
    hooks = new HookRegistry(
      pino({ level: 'error' }, { write: (line: string) => lines.push(JSON.parse(line)) }),
    )
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken'))],
  ])('that %s is logged with hook and module, and the next one gets what it got', async (_how, broken) => {
    adds('before')
    hooks.add('disco_local_features', host, broken, 50, 'mod_x')
    adds('behind')
    expect(await features()).toEqual(['before', 'behind'])
    expect(lines).toMatchObject([
      { hook: 'disco_local_features', module: 'mod_x', err: { message: 'broken' } },
    ])
  })

  it('does not count as having taken care', async () => {
    hooks.add('offline_message_hook', host, async () => {
      throw new Error('broken')
    })
    expect(await hooks.run('offline_message_hook', host, { stanza: packet('x') })).toBe(false)
  })
})

describe('a handler that fails again and again', () => {
  it('is counted each time, and logged ten times in ten seconds', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      const lines: { hook: string; module: string; failures: number }[] = []
      hooks = new HookRegistry(
        pino({ level: 'error' }, { write: (line: string) => lines.push(JSON.parse(line)) }),
      )
      const fails = () => {
        throw new Error('broken')
      }
      hooks.add('filter_packet', '', fails, 50, 'mod_a')
      hooks.add('filter_packet', '', fails, 60, 'mod_b')
      for (let n = 0; n < 25; n++) hooks.fold('filter_packet', '', packet('x'), {})
      expect([...hooks.failures]).toMatchObject([
        { hook: 'filter_packet', module: 'mod_a', count: 25 },
        { hook: 'filter_packet', module: 'mod_b', count: 25 },
      ])
      expect(lines).toHaveLength(20)
      vi.advanceTimersByTime(10_000)
      hooks.fold('filter_packet', '', packet('x'), {})
      expect(lines.slice(20)).toMatchObject([
        { hook: 'filter_packet', module: 'mod_a', failures: 26 },
        { hook: 'filter_packet', module: 'mod_b', failures: 26 },
      ])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a handler that does not answer', () => {
  it('is waited for as long as the option says; then the next one gets what it got, and it is logged', async () => {
    const lines: string[] = []
    const limited = new HookRegistry(
      pino({ level: 'error' }, { write: (line: string) => lines.push(line) }),
      { handlerTimeout: 20 },
    )
    let answer: (late: string[]) => void = () => undefined
    limited.add('disco_local_features', host, () => new Promise((resolve) => (answer = resolve)), 1, 'mod_x')
    limited.add('disco_local_features', host, (list) => [...list, 'behind'])
    const result = await limited.fold('disco_local_features', host, ['before'], info)
    expect(result).toEqual(['before', 'behind'])
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { hook: 'disco_local_features', module: 'mod_x', err: { message: 'no answer within 0.02 s' } },
    ])
    answer(['late'])
  })
})

describe('a result of another kind than the accumulator', () => {
  it.each([
    ['filter_packet', packet('x'), true, 'true was returned in place of a stanza'],
    ['filter_packet', packet('x'), el('message'), 'an element was returned in place of a stanza'],
    ['filter_packet', packet('x'), stop('enough'), 'enough was returned in place of a stanza'],
    ['disco_local_features', ['a'], 'b', 'b was returned in place of a list'],
    ['disco_local_features', ['a'], null, 'null was returned in place of a list'],
    ['check_bl_c2s', false, 'yes', 'yes was returned in place of false'],
    ['c2s_update_presence', el('presence'), packet('x'), 'a stanza was returned in place of an element'],
  ] as const)('%s: %j may not become %j', async (name, acc, wrong, sentence) => {
    const lines: string[] = []
    hooks = new HookRegistry(pino({ level: 'error' }, { write: (line: string) => lines.push(line) }))
    hooks.add(name, host, (() => wrong) as never, 1)
    hooks.add(name, host, (async () => wrong) as never, 2)
    expect(await hooks.fold(name, host, acc as never, {} as never)).toBe(acc)
    expect(lines.map((line) => (JSON.parse(line) as { err: { message: string } }).err.message)).toEqual([
      sentence,
      sentence,
    ])
  })

  it('is nothing where a hook only tells: nobody behind it is left out', async () => {
    const told: string[] = []
    hooks.add('user_available_hook', host, () => null)
    hooks.add('user_available_hook', host, () => told.push('second'))
    expect(await hooks.run('user_available_hook', host, { jid: romeo })).toBe(false)
    expect(told).toEqual(['second'])
  })
})

describe('a tracer', () => {
  it('sees the beginning and the end of every run, of hooks without handlers too, until it is taken away', async () => {
    const seen: unknown[] = []
    expect(hooks.has('filter_packet', '')).toBe(false)
    const end = hooks.trace({
      before: (hook, at, acc) => seen.push(['before', hook, at, acc]),
      after: (hook, at, acc, stopped) => seen.push(['after', hook, at, acc, stopped]),
    })
    // callers that skip a hook that nobody takes part in must not skip it now
    expect(hooks.has('filter_packet', '')).toBe(true)
    hooks.add('disco_local_features', host, async (list) => [...list, 'a'])
    expect(await features()).toEqual(['a'])
    hooks.add('offline_message_hook', host, () => stop())
    expect(hooks.run('offline_message_hook', host, { stanza: packet('x') })).toBe(true)
    expect(hooks.run('user_available_hook', host, { jid: romeo })).toBe(false)
    expect(seen).toEqual([
      ['before', 'disco_local_features', host, []],
      ['after', 'disco_local_features', host, ['a'], false],
      ['before', 'offline_message_hook', host, undefined],
      ['after', 'offline_message_hook', host, undefined, true],
      ['before', 'user_available_hook', host, undefined],
      ['after', 'user_available_hook', host, undefined, false],
    ])
    end()
    expect(await features()).toEqual(['a'])
    expect(seen).toHaveLength(6)
  })

  it('that fails costs nobody anything', () => {
    hooks.trace({
      before: () => {
        throw new Error('broken')
      },
    })
    adds('a')
    expect(features()).toEqual(['a'])
  })
})

/** What the registry must do, as a list that is looked through: server-behaviour, hooks. */
interface Modelled {
  readonly id: number
  readonly host: string
  readonly seq: number
  readonly nth: number
}

test('any order of adding and deleting leaves what a plain list would', () => {
  const handlers = Array.from({ length: 4 }, (_, id) => (list: readonly string[]) => [...list, `${id}`])
  const hosts = ['', host, 'mantua.example']
  const step = fc.record({
    add: fc.boolean(),
    id: fc.nat(handlers.length - 1),
    host: fc.constantFrom(...hosts),
    seq: fc.integer({ min: -1, max: 2 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const registry = new HookRegistry(silentLogger())
      let model: Modelled[] = []
      for (const [nth, { add, id, host: at, seq }] of steps.entries()) {
        const handler = handlers[id] ?? expect.fail()
        const same = (other: Modelled) => other.id === id && other.host === at && other.seq === seq
        if (add) {
          registry.add('disco_local_features', at, handler, seq)
          if (!model.some(same)) model.push({ id, host: at, seq, nth })
        } else {
          registry.delete('disco_local_features', at, handler, seq)
          model = model.filter((other) => !same(other))
        }
      }
      for (const at of hosts) {
        const order = model
          .filter((one) => one.host === at)
          .sort((a, b) => a.seq - b.seq || a.nth - b.nth)
          .map(({ id }) => `${id}`)
        expect(registry.fold('disco_local_features', at, [], info)).toEqual(order)
        expect(registry.has('disco_local_features', at)).toBe(order.length > 0)
      }
    }),
    { numRuns: 300 },
  )
})

test('a fold gives what its handlers give in turn, whether they wait, throw, stop, or say nothing', async () => {
  type Step = { readonly what: 'add' | 'nothing' | 'throw' | 'stop' | 'junk'; readonly waits: boolean }
  const step: fc.Arbitrary<Step> = fc.record({
    what: fc.constantFrom('add', 'add', 'nothing', 'throw', 'stop', 'junk'),
    waits: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
      const registry = new HookRegistry(silentLogger())
      const ran: number[] = []
      for (const [n, { what, waits }] of steps.entries()) {
        const act = (list: readonly string[]) => {
          ran.push(n)
          if (what === 'throw') throw new Error('broken')
          if (what === 'junk') return 5 as never
          if (what === 'nothing') return undefined
          return what === 'stop' ? stop([...list, `${n}`]) : [...list, `${n}`]
        }
        registry.add('disco_local_features', host, waits ? async (list) => act(list) : act)
      }
      const stopAt = steps.findIndex(({ what }) => what === 'stop')
      const running = stopAt < 0 ? steps : steps.slice(0, stopAt + 1)
      const result = registry.fold('disco_local_features', host, [], info)
      // a promise only where somebody waited
      expect(result instanceof Promise).toBe(running.some(({ waits }) => waits))
      expect(await result).toEqual(
        running.flatMap(({ what }, n) => (what === 'add' || what === 'stop' ? [`${n}`] : [])),
      )
      expect(ran).toEqual(running.map((_, n) => n))
    }),
    { numRuns: 300 },
  )
})
