import { beforeEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { defineCommand } from '../../server-core/extend/command.ts'
import { IqHandlers } from '../../server-core/extend/gen-iq-handler.ts'
import { defineModule, type HostContext, type ModuleSpec } from '../../server-core/extend/gen-mod.ts'
import { HookRegistry } from '../../server-core/extend/hook-registry.ts'
import { ModuleManager } from '../../server-core/extend/module-manager.ts'
import { StartError } from '../../server-core/extend/start-order.ts'
import { silentLogger } from '../../server-core/log.ts'
import { Router } from '../../server-core/routing/router.ts'
import type { Sessions } from '../../server-core/routing/session.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { el } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { makeJid } from '../../server-core/xmpp/jid.ts'
import { Stanza } from '../../server-core/xmpp/stanza.ts'

const host = 'verona.example'
const other = 'mantua.example'
const log = silentLogger()

/** What the modules did, in order. */
let life: string[]
let hooks: HookRegistry
let iqs: IqHandlers
let router: Router
let commands: Set<string>

beforeEach(() => {
  life = []
  hooks = new HookRegistry(log)
  iqs = new IqHandlers(log)
  router = new Router(hooks, log)
  commands = new Set()
})

function manager(...table: ModuleSpec[]): ModuleManager {
  return new ModuleManager({
    table,
    version: '1',
    storage: {} as Storage,
    sessions: {} as Sessions,
    router,
    iqs,
    hooks,
    log,
    accountExists: async () => true,
    addCommand: (spec, of) => {
      commands.add(`${spec.name} ${of}`)
      return () => commands.delete(`${spec.name} ${of}`)
    },
  })
}

function plain(name: `mod_${string}`, more: Partial<ModuleSpec> = {}): ModuleSpec {
  return {
    name,
    doc: '',
    options: {},
    start: (context) => {
      life.push(`${name} starts on ${context.host}`)
    },
    stop: (context) => {
      life.push(`${name} stops on ${context.host}`)
    },
    ...more,
  }
}

const greeting = defineModule({
  name: 'mod_greeting',
  doc: '',
  options: { text: z.string().default('hello') },
  start(_context, { text }) {
    life.push(`says ${text}`)
    if (text === 'nothing') throw new Error('nothing to say')
  },
})

const command = defineCommand({
  name: 'x',
  doc: 'Does nothing',
  category: 'core',
  tags: [],
  args: {},
  result: { kind: 'rescode' },
  example: 'x',
  run: () => undefined,
} as never)

/** Registers everything that can be registered. */
function registerAll(context: HostContext): void {
  context.hook('user_available_hook', () => undefined)
  context.globalHook('filter_packet', () => undefined)
  context.iq('local', 'test:x', () => undefined)
  context.iq('sm', 'test:x', () => undefined)
  context.feature('local', 'test:x')
  context.localRoute(`x.${context.host}`, () => undefined)
  context.command(command)
  context.provide('offline', { count: async () => 0, delivered: async () => undefined })
  context.every(60_000, () => undefined)
  context.onStop(() => {
    life.push('onStop')
  })
}

function nothingLeft(modules: ModuleManager): void {
  expect(hooks.ownedBy('mod_x')).toBe(0)
  expect([iqs.has('local', host, 'test:x'), iqs.has('sm', host, 'test:x')]).toEqual([false, false])
  expect(router.hasRoute(`x.${host}`)).toBe(false)
  expect(commands).toEqual(new Set())
  expect(modules.provided(host, 'offline')).toBeUndefined()
  expect(modules.isLoaded(host, 'mod_x')).toBe(false)
}

describe('life', () => {
  it('starts those first that others need, and stops in reverse order', async () => {
    const modules = manager(plain('mod_a', { requires: ['mod_b'] }), plain('mod_b'))
    await modules.startAll(host, { mod_a: null, mod_b: null })
    expect(modules.loaded(host)).toEqual(['mod_b', 'mod_a'])
    await modules.stopAll(host)
    expect(life).toEqual([
      `mod_b starts on ${host}`,
      `mod_a starts on ${host}`,
      `mod_a stops on ${host}`,
      `mod_b stops on ${host}`,
    ])
  })

  it('runs once per host, each with its own options', async () => {
    const modules = manager(greeting)
    await modules.start(host, 'mod_greeting', null)
    await modules.start(other, 'mod_greeting', { text: 'buongiorno' })
    expect(life).toEqual(['says hello', 'says buongiorno'])
    await expect(modules.start(host, 'mod_greeting', null)).rejects.toThrow(
      `mod_greeting runs on ${host} already`,
    )
    await modules.stop(host, 'mod_greeting')
    expect([modules.isLoaded(host, 'mod_greeting'), modules.isLoaded(other, 'mod_greeting')]).toEqual([
      false,
      true,
    ])
  })

  it('starts one module once, also when two ask for it at the same time', async () => {
    const slow = plain('mod_slow', {
      async start() {
        life.push('begins')
        await new Promise((resolve) => setImmediate(resolve))
      },
    })
    const modules = manager(slow)
    const results = await Promise.allSettled([
      modules.start(host, 'mod_slow', null),
      modules.start(host, 'mod_slow', null),
    ])
    expect(life).toEqual(['begins'])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('says false for one that does not run', async () => {
    expect(await manager(greeting).stop(host, 'mod_greeting')).toBe(false)
  })

  it('refuses a module that there is not, and one without what it needs', async () => {
    const modules = manager(plain('mod_a', { requires: ['mod_b'] }), plain('mod_b'))
    await expect(modules.start(host, 'mod_c', null)).rejects.toThrow('there is no module mod_c')
    await expect(modules.start(host, 'mod_a', null)).rejects.toThrow(
      `mod_a needs mod_b, which does not run on ${host}`,
    )
    expect(life).toEqual([])
  })

  it('names module and option of a mistake, before anything of it starts', async () => {
    await expect(manager(greeting).start(host, 'mod_greeting', { text: 5 })).rejects.toThrow(
      /^mod_greeting, option text: /,
    )
    expect(life).toEqual([])
  })
})

describe('what a module registered', () => {
  it('is taken back when it stops, even if it forgot', async () => {
    const modules = manager(plain('mod_x', { start: registerAll }))
    await modules.start(host, 'mod_x', null)
    expect(hooks.ownedBy('mod_x')).toBe(3)
    expect(commands).toEqual(new Set([`x ${host}`]))
    expect(router.hasRoute(`x.${host}`)).toBe(true)
    expect(modules.provided(host, 'offline')).toBeDefined()
    await modules.stop(host, 'mod_x')
    nothingLeft(modules)
    expect(life).toEqual([`mod_x stops on ${host}`, 'onStop'])
  })

  it('is taken back when its stop fails', async () => {
    const stop = () => {
      throw new Error('broken')
    }
    const modules = manager(plain('mod_x', { start: registerAll, stop }))
    await modules.start(host, 'mod_x', null)
    expect(await modules.stop(host, 'mod_x')).toBe(true)
    nothingLeft(modules)
  })

  it('is taken back when its start fails half-way', async () => {
    const modules = manager(
      plain('mod_x', {
        start(context) {
          registerAll(context)
          throw new Error('no such folder')
        },
      }),
    )
    await expect(modules.start(host, 'mod_x', null)).rejects.toThrow(
      new StartError(`mod_x on ${host} did not start: no such folder`),
    )
    nothingLeft(modules)
  })
})

describe('a module that hangs', () => {
  const never = () => new Promise<void>(() => undefined)
  beforeEach(() => {
    vi.useFakeTimers()
    return () => vi.useRealTimers()
  })

  it('in its start is refused after 30 s; what it registers later is taken back at once, and fails', async () => {
    let late: Error | undefined
    let context: HostContext | undefined
    const hangs = plain('mod_x', {
      start: (given) => {
        context = given
        registerAll(given)
        return never()
      },
    })
    const modules = manager(hangs, greeting)
    const refused = expect(modules.start(host, 'mod_x', null)).rejects.toThrow(
      `mod_x on ${host} did not start: no answer within 30 s`,
    )
    await vi.advanceTimersByTimeAsync(30_000)
    await refused
    nothingLeft(modules)
    try {
      if (context) registerAll(context)
    } catch (error) {
      late = error as Error
    }
    expect(late?.message).toBe(`mod_x on ${host} has stopped and cannot register anything`)
    nothingLeft(modules)
    await vi.advanceTimersByTimeAsync(0)
    expect(vi.getTimerCount()).toBe(0)
    // and nobody else waits for it
    await modules.start(host, 'mod_greeting', null)
  })

  it('in its stop is waited for 5 s, then it is stopped all the same', async () => {
    const modules = manager(plain('mod_x', { start: registerAll, stop: never }))
    await modules.start(host, 'mod_x', null)
    let over = false
    const stopped = modules.stop(host, 'mod_x').then(() => {
      over = true
    })
    await vi.advanceTimersByTimeAsync(4_999)
    expect(over).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    await stopped
    nothingLeft(modules)
  })

  it('in a clean-up is waited for 5 s, and the others go on', async () => {
    const modules = manager(
      plain('mod_x', {
        start(context) {
          registerAll(context)
          context.onStop(never)
        },
      }),
    )
    await modules.start(host, 'mod_x', null)
    const stopped = modules.stop(host, 'mod_x')
    await vi.advanceTimersByTimeAsync(5_000)
    await stopped
    nothingLeft(modules)
  })

  it('in its reload runs on with the options that it had', async () => {
    const modules = manager(
      plain('mod_x', { options: { n: z.number().default(1) }, reload: never, start: registerAll }),
    )
    await modules.start(host, 'mod_x', { n: 1 })
    const refused = expect(modules.reload(host, 'mod_x', { n: 2 })).rejects.toThrow(/no answer within 30 s/)
    await vi.advanceTimersByTimeAsync(30_000)
    await refused
    expect(modules.given(host, 'mod_x')).toEqual({ n: 1 })
    await modules.stop(host, 'mod_x')
  })

  it('with what is sent to its domain has it answered after the time limit of hooks', async () => {
    const modules = manager(
      plain('mod_x', { start: (context) => void context.localRoute('x.example', never) }),
    )
    await modules.start(host, 'mod_x', null)
    const from = makeJid('romeo', host, 'r')
    const answers: string[] = []
    router.registerLocalRoute(host, ({ element }) => void answers.push(elementToString(element)))
    const sent = router.route(new Stanza(from, makeJid('', 'x.example'), el('message', { id: '1' })))
    await vi.advanceTimersByTimeAsync(hooks.handlerTimeout)
    await sent
    expect(answers).toEqual([expect.stringMatching(/type='error'.*<internal-server-error /)])
  })
})

describe('what registers gives back', () => {
  it('what takes that back earlier, once', async () => {
    const undos: Record<string, () => unknown> = {}
    const modules = manager(
      plain('mod_x', {
        start(context) {
          undos['route'] = context.localRoute(`x.${host}`, () => undefined)
          undos['hook'] = context.hook('user_available_hook', () => undefined)
          undos['command'] = context.command(command)
          undos['iq'] = context.iq('local', 'test:x', () => undefined)
          undos['feature'] = context.feature('local', 'test:x')
        },
      }),
    )
    await modules.start(host, 'mod_x', null)
    for (const undo of Object.values(undos)) await undo()
    nothingLeftButItself()
    // somebody else has it now: the second time must not take it away
    router.registerLocalRoute(`x.${host}`, () => undefined)
    await undos['route']?.()
    await modules.stop(host, 'mod_x')
    expect(router.hasRoute(`x.${host}`)).toBe(true)
  })

  function nothingLeftButItself(): void {
    expect(hooks.ownedBy('mod_x')).toBe(0)
    expect(iqs.has('local', host, 'test:x')).toBe(false)
    expect(router.hasRoute(`x.${host}`)).toBe(false)
    expect(commands).toEqual(new Set())
  }

  it('a call that comes once, unless the module stops before', async () => {
    vi.useFakeTimers()
    try {
      let signal: AbortSignal | undefined
      const modules = manager(
        plain('mod_x', {
          start(context) {
            signal = context.signal
            context.later(1_000, () => void life.push('one'))
            context.later(5_000, () => void life.push('five'))
          },
        }),
      )
      await modules.start(host, 'mod_x', null)
      await vi.advanceTimersByTimeAsync(2_000)
      expect([life, signal?.aborted]).toEqual([['one'], false])
      await modules.stop(host, 'mod_x')
      await vi.advanceTimersByTimeAsync(10_000)
      expect([life, signal?.aborted]).toEqual([['one', `mod_x stops on ${host}`], true])
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a command that is none', () => {
  it.each([
    [{ ...command, run: undefined }, 'the command x: run must be a function'],
    [{ ...command, args: { n: 5 } }, 'the command x: args.n must be a schema of z'],
    [{ ...command, name: 'X y' }, 'the command X y: name must be of small letters, digits and _'],
    [{ ...command, doc: undefined }, 'the command x: doc is missing; it must be text'],
    [{ ...command, result: { kind: 'list' } }, 'the command x: result needs columns, a list of {name, type}'],
    [{ ...command, result: { kind: 'table' } }, /^the command x: result.* must be .*'restuple'/],
    [undefined, /^a command: /],
  ])('%j is refused with a sentence', async (wrong, sentence) => {
    const modules = manager(plain('mod_x', { start: (context) => void context.command(wrong as never) }))
    const refused = modules.start(host, 'mod_x', null)
    const said = (await refused.catch((error: Error) => error.message)) ?? ''
    const reason = said.replace(`mod_x on ${host} did not start: `, '')
    if (typeof sentence === 'string') expect(reason).toBe(sentence)
    else expect(reason).toMatch(sentence)
    expect(commands).toEqual(new Set())
  })
})

describe('modules of others', () => {
  const old = plain('mod_guest', { start: () => void life.push('old starts') })
  const now = plain('mod_guest', { start: () => void life.push('new starts') })
  const broken = plain('mod_guest', {
    start: () => {
      throw new Error('broken')
    },
  })

  it('are among those that there are; new code is taken at the next reload, also with the same options', async () => {
    const modules = manager(greeting)
    modules.setExternal([old])
    expect(modules.known.map(({ name }) => name)).toEqual(['mod_greeting', 'mod_guest'])
    await modules.start(host, 'mod_guest', null)
    await modules.start(other, 'mod_guest', null)
    modules.setExternal([now])
    expect(life).toEqual(['old starts', 'old starts'])
    expect(modules.difference(host, { mod_guest: {} })).toEqual({
      stop: [],
      start: [],
      reload: ['mod_guest'],
    })
    life = []
    await modules.reload(host, 'mod_guest', null)
    expect(life).toEqual([`mod_guest stops on ${host}`, 'new starts'])
    expect(modules.difference(host, { mod_guest: {} }).reload).toEqual([])
    // the other host goes on as it was
    expect(modules.difference(other, { mod_guest: {} }).reload).toEqual(['mod_guest'])
  })

  it('run on with the code that they had when the new one does not start', async () => {
    const modules = manager()
    modules.setExternal([old])
    await modules.start(host, 'mod_guest', null)
    modules.setExternal([broken])
    life = []
    await expect(modules.reload(host, 'mod_guest', null)).rejects.toThrow(/did not start: broken/)
    expect(life).toEqual([`mod_guest stops on ${host}`, 'old starts'])
    expect(modules.isLoaded(host, 'mod_guest')).toBe(true)
  })
})

describe('new options', () => {
  it('go to its own reload, with those before', async () => {
    const modules = manager(
      defineModule({
        name: 'mod_r',
        doc: '',
        options: { n: z.number().default(1) },
        start: (_context, { n }) => {
          life.push(`starts with ${n}`)
        },
        reload: (_context, now, before) => {
          life.push(`${before.n} → ${now.n}`)
        },
      }),
    )
    await modules.start(host, 'mod_r', null)
    await modules.reload(host, 'mod_r', { n: 2 })
    await modules.reload(host, 'mod_r', { n: 3 })
    expect(life).toEqual(['starts with 1', '1 → 2', '2 → 3'])
  })

  it('stop and start it where it has none', async () => {
    const modules = manager(greeting)
    await modules.start(host, 'mod_greeting', null)
    await modules.reload(host, 'mod_greeting', { text: 'bye' })
    expect(life).toEqual(['says hello', 'says bye'])
  })

  it('leave it as it runs when they are wrong', async () => {
    const modules = manager(greeting)
    await modules.start(host, 'mod_greeting', { text: 'hi' })
    await expect(modules.reload(host, 'mod_greeting', { text: 5 })).rejects.toThrow(/option text/)
    expect(modules.isLoaded(host, 'mod_greeting')).toBe(true)
    expect(life).toEqual(['says hi'])
  })

  it('leave it running with the old ones when it does not start with them', async () => {
    const modules = manager(greeting)
    await modules.start(host, 'mod_greeting', { text: 'hi' })
    await expect(modules.reload(host, 'mod_greeting', { text: 'nothing' })).rejects.toThrow(/nothing to say/)
    expect(life).toEqual(['says hi', 'says nothing', 'says hi'])
    expect(modules.isLoaded(host, 'mod_greeting')).toBe(true)
  })
})

describe('what differs from what is wanted', () => {
  it('is stopped last first, started behind what it needs, and reloaded when its options differ', async () => {
    const modules = manager(
      plain('mod_a', { options: { size: z.number().default(1) } }),
      plain('mod_b', { requires: ['mod_c'] }),
      plain('mod_c'),
      plain('mod_d'),
    )
    await modules.startAll(host, { mod_a: { size: 2 }, mod_d: null })
    const difference = modules.difference(host, { mod_b: null, mod_a: { size: 3 }, mod_c: {} })
    expect(difference).toEqual({ stop: ['mod_d'], start: ['mod_c', 'mod_b'], reload: ['mod_a'] })
    expect(modules.difference(host, { mod_a: { size: 2 }, mod_d: {} })).toEqual({
      stop: [],
      start: [],
      reload: [],
    })
    expect(modules.difference(host, {}).stop).toEqual(['mod_d', 'mod_a'])
    expect(modules.given(host, 'mod_a')).toEqual({ size: 2 })
    expect(modules.given(other, 'mod_a')).toBeUndefined()
    expect(() => modules.difference(host, { mod_b: null })).toThrow(StartError)
  })
})
