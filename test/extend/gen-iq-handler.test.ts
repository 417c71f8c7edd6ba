import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  type IqHandler,
  IqHandlers,
  type IqRequest,
  ignore,
} from '../../server-core/extend/gen-iq-handler.ts'
import { silentLogger } from '../../server-core/log.ts'
import { type Element, el } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { StanzaError } from '../../server-core/xmpp/errors.ts'
import { parseJid } from '../../server-core/xmpp/jid.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'

const host = 'verona.example'
const xmlns = 'test:x'

let iqs: IqHandlers
/** Who has been answered with what, in order: 'romeo 1 result', 'romeo 2 service-unavailable'. */
let answers: string[]
let lastAnswer: Element | undefined

beforeEach(() => {
  vi.useFakeTimers()
  iqs = new IqHandlers(silentLogger())
  answers = []
  lastAnswer = undefined
})
afterEach(() => {
  vi.useRealTimers()
})

function reply(stanza: Stanza): void {
  lastAnswer = stanza.element
  const error = stanza.element.children.find((child) => typeof child !== 'string' && child.name === 'error')
  const condition = error && typeof error !== 'string' && error.children[0]
  const outcome = condition && typeof condition !== 'string' ? condition.name : stanza.type
  answers.push(`${stanza.to.user} ${stanza.id} ${outcome}`)
}

function request(id: string, user = 'romeo', children = [el('query', { xmlns })], type = 'get'): Stanza {
  const from = parseJid(`${user}@verona.example/r`) ?? expect.fail()
  const to = parseJid(host) ?? expect.fail()
  return new Stanza(from, to, el('iq', { type, id, from: from.text, to: to.text }, ...children))
}

const ask = (id: string, user?: string) => iqs.handle('local', host, request(id, user), reply)

/** A handler whose answers come when the test says so. */
class Later {
  readonly begun: string[] = []
  readonly #open = new Map<string, { resolve(result?: Element): void; reject(error: unknown): void }>()

  readonly handler: IqHandler = ({ id, from }: IqRequest) => {
    this.begun.push(`${from.user} ${id}`)
    return new Promise((resolve, reject) => {
      this.#open.set(`${from.user} ${id}`, { resolve, reject })
    })
  }

  async finish(which: string, error?: unknown): Promise<void> {
    const open = this.#open.get(which) ?? expect.fail(`${which} has not begun`)
    if (error === undefined) open.resolve()
    else open.reject(error)
    await vi.advanceTimersByTimeAsync(0)
  }
}

describe('exactly one answer', () => {
  it('is the element that the handler returns, with the id, from the address asked', async () => {
    iqs.add('local', host, xmlns, () => el('answer', { xmlns }))
    await ask('1')
    expect(lastAnswer && elementToString(lastAnswer)).toBe(
      "<iq type='result' from='verona.example' to='romeo@verona.example/r' id='1'><answer xmlns='test:x'/></iq>",
    )
  })

  it('is an empty result when it returns nothing', async () => {
    iqs.add('local', host, xmlns, async () => undefined)
    await ask('1')
    expect(lastAnswer?.children).toEqual([])
    expect(answers).toEqual(['romeo 1 result'])
  })

  it('is the error that it throws, behind the child of the request', async () => {
    iqs.add('local', host, xmlns, () => {
      throw new StanzaError('not-allowed')
    })
    await ask('1')
    expect(lastAnswer?.children.map((child) => typeof child !== 'string' && child.name)).toEqual([
      'query',
      'error',
    ])
    expect(answers).toEqual(['romeo 1 not-allowed'])
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('the password is swordfish')
      },
    ],
    ['rejects', () => Promise.reject(new Error('the password is swordfish'))],
  ])('is internal-server-error when it %s anything else, and tells nothing of it', async (_how, handler) => {
    iqs.add('local', host, xmlns, handler)
    await ask('1')
    expect(answers).toEqual(['romeo 1 internal-server-error'])
    expect(lastAnswer && elementToString(lastAnswer)).not.toContain('swordfish')
  })

  it.each([['a text'], [true], [{ name: 'query' }]])(
    'is internal-server-error when it returns %j, which is no element',
    async (wrong) => {
      iqs.add('local', host, xmlns, () => wrong as never)
      await ask('1')
      iqs.add('local', host, xmlns, async () => wrong as never)
      await ask('2')
      expect(answers).toEqual(['romeo 1 internal-server-error', 'romeo 2 internal-server-error'])
    },
  )

  it('is service-unavailable when there is no handler for component, host and namespace together', async () => {
    iqs.add('sm', host, xmlns, () => undefined)
    iqs.add('local', 'mantua.example', xmlns, () => undefined)
    iqs.add('local', host, 'test:y', () => undefined)
    await ask('1')
    expect(answers).toEqual(['romeo 1 service-unavailable'])
  })

  it.each([
    ['no child', []],
    ['two children', [el('query', { xmlns }), el('query', { xmlns })]],
  ])('is bad-request for %s', async (_what, children) => {
    iqs.add('local', host, xmlns, () => undefined)
    await iqs.handle('local', host, request('1', 'romeo', children), reply)
    expect(answers).toEqual(['romeo 1 bad-request'])
  })

  it('is none when the handler says that it answers itself', async () => {
    iqs.add('local', host, xmlns, () => ignore)
    await ask('1')
    iqs.add('local', host, xmlns, () => Promise.resolve<typeof ignore>(ignore))
    await ask('2')
    expect(answers).toEqual([])
  })

  it('is internal-server-error after 30 s, and the late answer is dropped', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler)
    void ask('1')
    await vi.advanceTimersByTimeAsync(29_999)
    expect(answers).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(answers).toEqual(['romeo 1 internal-server-error'])
    await later.finish('romeo 1')
    expect(answers).toHaveLength(1)
  })

  it('stays internal-server-error when what is late fails: nothing is left unhandled', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler)
    void ask('1')
    await vi.advanceTimersByTimeAsync(30_000)
    await later.finish('romeo 1', new Error('late and broken'))
    expect(answers).toEqual(['romeo 1 internal-server-error'])
  })

  it('tells the handler what was asked', async () => {
    let seen: IqRequest | undefined
    iqs.add('local', host, xmlns, (one) => {
      seen = one
    })
    await iqs.handle('local', host, request('7', 'romeo', [el('query', { xmlns })], 'set'), reply)
    expect(seen).toMatchObject({ type: 'set', id: '7', ns: xmlns, lang: '' })
    expect([seen?.from.text, seen?.to.text, seen?.child.name]).toEqual([
      'romeo@verona.example/r',
      host,
      'query',
    ])
  })
})

describe('no_queue', () => {
  it('answers in the caller, without a promise where nothing waits', () => {
    iqs.add('local', host, xmlns, () => undefined)
    expect(ask('1')).toBeUndefined()
    expect(answers).toEqual(['romeo 1 result'])
  })

  it('lets the caller wait for a handler that waits', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler)
    const done = ask('1')
    expect(done).toBeInstanceOf(Promise)
    await later.finish('romeo 1')
    await done
    expect(answers).toEqual(['romeo 1 result'])
  })
})

describe('one_queue', () => {
  it('handles one at a time, in order of arrival, and callers do not wait', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler, 'one_queue')
    expect(ask('1')).toBeUndefined()
    expect(ask('2', 'juliet')).toBeUndefined()
    expect(ask('3')).toBeUndefined()
    expect(later.begun).toEqual(['romeo 1'])
    await later.finish('romeo 1')
    expect(later.begun).toEqual(['romeo 1', 'juliet 2'])
    await later.finish('juliet 2', new Error('broken'))
    await later.finish('romeo 3')
    expect(answers).toEqual(['romeo 1 result', 'juliet 2 internal-server-error', 'romeo 3 result'])
  })

  it('goes on behind a request that never ends', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler, 'one_queue')
    void ask('1')
    void ask('2')
    await vi.advanceTimersByTimeAsync(30_000)
    expect(later.begun).toEqual(['romeo 1', 'romeo 2'])
  })

  it('goes on when an answer cannot be sent', async () => {
    let first = true
    iqs.add('local', host, xmlns, () => undefined, 'one_queue')
    const broken = (stanza: Stanza): void | Promise<void> => {
      if (!first) return reply(stanza)
      first = false
      return Promise.reject(new Error('no way out'))
    }
    void iqs.handle('local', host, request('1'), broken)
    await vi.advanceTimersByTimeAsync(0)
    void iqs.handle('local', host, request('2'), broken)
    await vi.advanceTimersByTimeAsync(0)
    expect(answers).toEqual(['romeo 2 result'])
  })

  it('refuses with resource-constraint when more than 1,000 wait', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler, 'one_queue')
    for (let n = 0; n <= 1_000; n++) void ask(`${n}`)
    expect(answers).toEqual([])
    void ask('too many')
    expect(answers).toEqual(['romeo too many resource-constraint'])
    await later.finish('romeo 0')
    void ask('fits again')
    expect(answers).toEqual(['romeo too many resource-constraint', 'romeo 0 result'])
  })
})

describe('queues', () => {
  it('keeps the order of one sender while others overtake', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler, { queues: 100 })
    const others = ['juliet', 'tybalt', 'nurse', 'paris', 'benvolio']
    void ask('1')
    void ask('2')
    for (const user of others) void ask('3', user)
    expect(later.begun).not.toContain('romeo 2')
    const overtaken = others.filter((user) => later.begun.includes(`${user} 3`))
    expect(overtaken.length).toBeGreaterThan(0)
    await later.finish('romeo 1')
    expect(later.begun).toContain('romeo 2')
  })
})

describe('parallel', () => {
  it('handles 100 at once, the others in order when one ends', async () => {
    const later = new Later()
    iqs.add('local', host, xmlns, later.handler, 'parallel')
    for (let n = 1; n <= 102; n++) void ask(`${n}`)
    expect(later.begun).toHaveLength(100)
    await later.finish('romeo 50')
    expect(later.begun.at(-1)).toBe('romeo 101')
    await later.finish('romeo 7')
    expect(later.begun.at(-1)).toBe('romeo 102')
    expect(answers).toEqual(['romeo 50 result', 'romeo 7 result'])
  })
})

describe('removal', () => {
  it('lets what runs finish, and answers what waits with service-unavailable', async () => {
    const later = new Later()
    const remove = iqs.add('local', host, xmlns, later.handler, 'one_queue')
    void ask('1')
    void ask('2')
    void ask('3')
    await remove()
    expect(answers).toEqual(['romeo 2 service-unavailable', 'romeo 3 service-unavailable'])
    void ask('4')
    expect(answers.at(-1)).toBe('romeo 4 service-unavailable')
    await later.finish('romeo 1')
    expect(answers.at(-1)).toBe('romeo 1 result')
    expect(later.begun).toEqual(['romeo 1'])
  })

  it('leaves a handler alone that has replaced the one removed', async () => {
    const remove = iqs.add('local', host, xmlns, () => el('old', { xmlns }))
    iqs.add('local', host, xmlns, () => el('new', { xmlns }))
    await remove()
    await ask('1')
    expect(lastAnswer && elementToString(lastAnswer)).toContain('<new ')
    expect(iqs.has('local', host, xmlns)).toBe(true)
  })
})
