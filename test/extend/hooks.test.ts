import { pino } from 'pino'
import { beforeEach, describe, expect, it } from 'vitest'
import { HookRegistry, stop } from '../../server-core/extend/hooks.ts'
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
