import { pino } from 'pino'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { silentLogger } from '../../server-core/log.ts'
import { PendingIqs } from '../../server-core/routing/pending-iqs.ts'
import { type RouteKey, Router } from '../../server-core/routing/router.ts'
import { el, withAttributes } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { StanzaError } from '../../server-core/xmpp/errors.ts'
import { errorReply, resultReply, type Stanza } from '../../server-core/xmpp/stanza.ts'
import { stanza } from '../modules/host.ts'

const host = 'verona.example'
const sender = 'romeo@mantua.example/r'

let hooks: HookRegistry
let router: Router
/** What came back to the sender. */
let answers: string[]

beforeEach(() => {
  hooks = new HookRegistry(silentLogger())
  router = new Router(hooks, silentLogger())
  answers = []
  router.registerLocalRoute('mantua.example', (one) => void answers.push(conditionOf(one)))
})

function conditionOf(one: Stanza): string {
  const error = one.element.children.at(-1)
  const condition = typeof error === 'object' && error.children[0]
  return one.type === 'error' && typeof condition === 'object' ? `${one.kind} ${condition.name}` : one.kind
}

const message = (to = `juliet@${host}`, more = '') =>
  stanza(`<message from='${sender}' to='${to}' ${more}><body>x</body></message>`)
const request = (to = host) =>
  stanza(`<iq type='get' id='1' from='${sender}' to='${to}'><q xmlns='urn:x'/></iq>`)

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('where a stanza goes', () => {
  it('is decided by the domain of the one addressed', async () => {
    const seen: string[] = []
    router.registerLocalRoute(host, ({ to }) => void seen.push(to.text))
    await router.route(message(`juliet@${host}/balcony`))
    await router.route(message(host))
    expect(seen).toEqual([`juliet@${host}/balcony`, host])
  })

  it('is at once, without a promise, when nobody waits', () => {
    router.registerLocalRoute(host, () => undefined)
    expect(router.route(message())).toBeUndefined()
  })

  it('is nowhere for a domain that nobody serves: messages and requests come back', async () => {
    await router.route(message())
    await router.route(request())
    await router.route(stanza(`<presence from='${sender}' to='${host}' type='unavailable'/>`))
    await router.route(stanza(`<iq type='result' id='1' from='${sender}' to='${host}'/>`))
    await router.route(message(host, "type='error'"))
    expect(answers).toEqual(['message remote-server-not-found', 'iq remote-server-not-found'])
  })

  it('may be changed or dropped by filter_packet, before anything else', async () => {
    const seen: string[] = []
    router.registerLocalRoute(host, ({ element }) => void seen.push(elementToString(element)))
    const undo = hooks.add('filter_packet', '', (one) =>
      one?.withElement(withAttributes(one.element, { id: 'new' })),
    )
    await router.route(message())
    expect(seen[0]).toContain("id='new'")
    undo()
    hooks.add('filter_packet', '', async () => null)
    await router.route(message())
    expect(seen).toHaveLength(1)
    expect(answers).toEqual([])
  })
})

describe('local routes', () => {
  it('have one handler each, and go when they are taken away', async () => {
    const undo = router.registerLocalRoute(host, () => undefined)
    expect(() => router.registerLocalRoute(host, () => undefined)).toThrow(`${host} is routed already`)
    expect(() => router.registerRoute(host, 'x', () => undefined)).toThrow(`${host} is routed already`)
    expect(router.hasRoute(host)).toBe(true)
    undo()
    expect(router.hasRoute(host)).toBe(false)
    const again = router.registerLocalRoute(host, () => undefined)
    undo()
    expect(router.hasRoute(host)).toBe(true)
    again()
  })

  it('are told of when they come and go', () => {
    const told: string[] = []
    hooks.add('route_registered', '', (_acc, { domain }) => told.push(`+${domain}`))
    hooks.add('route_unregistered', '', (_acc, { domain }) => told.push(`-${domain}`))
    const undo = router.registerLocalRoute(host, () => undefined)
    undo()
    undo()
    const [one, two] = [
      router.registerRoute(host, 'a', () => undefined),
      router.registerRoute(host, 'b', () => undefined),
    ]
    one()
    two()
    expect(told).toEqual([`+${host}`, `-${host}`, `+${host}`, `-${host}`])
  })
})

describe('global routes', () => {
  /** Which of three owners gets it. */
  function owners(key?: RouteKey): {
    of(from: string, to: string): string | undefined
    undo: (() => void)[]
  } {
    let last: string | undefined
    const undo = ['a', 'b', 'c'].map((name) =>
      router.registerRoute(
        host,
        name,
        () => {
          last = name
        },
        key,
      ),
    )
    return {
      undo,
      of(from, to) {
        last = undefined
        void router.route(stanza(`<message from='${from}' to='${to}'/>`))
        return last
      },
    }
  }
  const many = Array.from({ length: 50 }, (_, n) => `u${n}`)

  it.each<[RouteKey, (n: string) => [string, string], (n: string) => [string, string]]>([
    ['source', (n) => [`a@x.example/${n}`, `b@${host}`], (n) => [`a@x.example/${n}`, `other@${host}`]],
    [
      'bare-source',
      (n) => [`${n}@x.example/r`, `b@${host}`],
      (n) => [`${n}@x.example/other`, `other@${host}`],
    ],
    ['destination', (n) => ['a@x.example/r', `b@${host}/${n}`], (n) => ['other@x.example', `b@${host}/${n}`]],
    [
      'bare-destination',
      (n) => ['a@x.example/r', `${n}@${host}`],
      (n) => ['other@x.example', `${n}@${host}/other`],
    ],
  ])('are chosen by %s: all of them are used, and one key stays with its owner', (key, one, same) => {
    const route = owners(key)
    const chosen = many.map((n) => route.of(...one(n)))
    expect(new Set(chosen)).toEqual(new Set(['a', 'b', 'c']))
    expect(many.map((n) => route.of(...same(n)))).toEqual(chosen)
  })

  it('are shared by bare address when nothing is said, and all used when the choice is random', () => {
    const route = owners()
    expect(route.of('a@x.example', `b@${host}/1`)).toBe(route.of('c@x.example', `b@${host}/2`))
    for (const undo of route.undo) undo()
    const random = owners('random')
    expect(new Set(Array.from({ length: 200 }, () => random.of('a@x.example', `b@${host}`))).size).toBe(3)
  })

  it('go with their owner, and the others go on', () => {
    const route = owners()
    route.undo[1]?.()
    expect(new Set(many.map((n) => route.of('a@x.example', `${n}@${host}`)))).toEqual(new Set(['a', 'c']))
    route.undo[0]?.()
    route.undo[2]?.()
    expect(router.hasRoute(host)).toBe(false)
  })

  it('stand behind local ones', () => {
    const seen: string[] = []
    router.registerRoute(host, 'a', () => void seen.push('global'))
    router.registerLocalRoute(`chat.${host}`, () => void seen.push('local'))
    void router.route(message(`chat.${host}`))
    void router.route(message(host))
    expect(seen).toEqual(['local', 'global'])
  })
})

describe('a handler that fails', () => {
  it.each([
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken'))],
  ])(
    'that %s: messages and requests are answered, presence is not, and it is logged',
    async (_how, broken) => {
      const lines: unknown[] = []
      router = new Router(
        hooks,
        pino({ level: 'error' }, { write: (line: string) => lines.push(JSON.parse(line)) }),
      )
      router.registerLocalRoute('mantua.example', (one) => void answers.push(conditionOf(one)))
      router.registerLocalRoute(host, broken)
      await router.route(message())
      await router.route(request())
      await router.route(stanza(`<presence from='${sender}' to='${host}'/>`))
      await router.route(stanza(`<presence from='${sender}' to='${host}' type='probe'/>`))
      await router.route(message(host, "type='error'"))
      expect(answers).toEqual(['message internal-server-error', 'iq internal-server-error'])
      expect(lines).toHaveLength(5)
    },
  )

  it('that refuses with an error of its own is answered with that, and nothing is wrong', async () => {
    const lines: unknown[] = []
    const write = (line: string) => lines.push(JSON.parse(line))
    router = new Router(hooks, pino({ level: 'error' }, { write }))
    router.registerLocalRoute('mantua.example', (one) => void answers.push(conditionOf(one)))
    router.registerLocalRoute(host, async () => {
      throw new StanzaError('resource-constraint')
    })
    await router.route(message())
    await router.route(request())
    expect(answers).toEqual(['message resource-constraint', 'iq resource-constraint'])
    expect(lines).toEqual([])
  })

  it('does not go round for ever when the answer fails too', async () => {
    router = new Router(hooks, silentLogger())
    let calls = 0
    const broken = () => {
      calls++
      throw new Error('broken')
    }
    router.registerLocalRoute(host, broken)
    router.registerLocalRoute('mantua.example', broken)
    await router.route(message())
    expect(calls).toBe(2)
  })
})

describe("requests of the server's own", () => {
  const own = () =>
    stanza(
      `<iq type='get' id='q1' from='mantua.example' to='juliet@${host}/r'><ping xmlns='urn:xmpp:ping'/></iq>`,
    )

  it('get their result', async () => {
    router.registerLocalRoute(host, (one) => router.route(resultReply(one, el('pong', { xmlns: 'urn:x' }))))
    expect(elementToString(await router.request(own()))).toContain('<pong ')
    expect(answers).toEqual([])
  })

  it('fail with the condition of an error', async () => {
    router.registerLocalRoute(host, (one) =>
      router.route(errorReply(one, new StanzaError('not-allowed')) ?? expect.fail()),
    )
    await expect(router.request(own())).rejects.toMatchObject({ condition: 'not-allowed' })
  })

  it('fail with the error also when whoever answered goes on with something else', async () => {
    router.registerLocalRoute(host, async (one) => {
      await router.route(errorReply(one, new StanzaError('not-allowed')) ?? expect.fail())
      await turn()
      await turn()
    })
    await expect(router.request(own())).rejects.toMatchObject({ condition: 'not-allowed' })
  })

  it('fail when nobody is there', async () => {
    await expect(router.request(own())).rejects.toMatchObject({ condition: 'remote-server-not-found' })
  })

  it('are not answered by others: id, the address asked and ours must fit', async () => {
    router.registerLocalRoute(host, () => undefined)
    router.registerLocalRoute('evil.example', () => undefined)
    let settled = false
    const answer = router.request(own()).finally(() => {
      settled = true
    })
    const reply = (from: string, to: string, id: string, type = 'result') =>
      router.route(stanza(`<iq type='${type}' id='${id}' from='${from}' to='${to}'/>`))
    await reply('juliet@evil.example/r', 'mantua.example', 'q1')
    await reply(`juliet@${host}`, 'mantua.example', 'q1')
    await reply(`juliet@${host}/r`, 'romeo@mantua.example', 'q1')
    await reply(`juliet@${host}/r`, 'mantua.example', 'q2')
    await turn()
    expect(settled).toBe(false)
    // what nobody waits for is routed on
    expect(answers).toHaveLength(4)
    await reply(`juliet@${host}/r`, 'mantua.example', 'q1')
    await answer
    // and a second answer is just a stanza
    await reply(`juliet@${host}/r`, 'mantua.example', 'q1')
    expect(answers).toHaveLength(5)
  })

  it('fail after 32 s without an answer, and a late one is not taken', async () => {
    vi.useFakeTimers()
    try {
      const pending = new PendingIqs()
      const asked = own()
      let error: unknown
      pending.wait(asked).catch((reason: unknown) => {
        error = reason
      })
      await vi.advanceTimersByTimeAsync(31_999)
      expect(error).toBeUndefined()
      await vi.advanceTimersByTimeAsync(1)
      expect(error).toMatchObject({ condition: 'remote-server-timeout' })
      expect(pending.take(resultReply(asked))).toBe(false)
    } finally {
      vi.useRealTimers()
    }
  })

  it('give undefined-condition for an error that has none that we know', async () => {
    const pending = new PendingIqs()
    const answer = pending.wait(own())
    pending.take(
      stanza(
        `<iq type='error' id='q1' from='juliet@${host}/r' to='mantua.example'><error type='cancel'><odd xmlns='urn:x'/></error></iq>`,
      ),
    )
    await expect(answer).rejects.toMatchObject({ condition: 'undefined-condition' })
  })
})
