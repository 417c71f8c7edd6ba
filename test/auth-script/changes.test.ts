/** Changes that come twice, or while something else is being written: what the caller is told is what holds afterwards. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Learner } from '../../auth-script/learner.ts'
import { Operations } from '../../auth-script/operations.ts'
import type { Signals } from '../../auth-script/outcome.ts'
import { Deployment } from '../../auth-script/plan.ts'
import { RecentChanges } from '../../auth-script/recent-changes.ts'
import { Statistics } from '../../auth-script/statistics.ts'
import type { AuthBackend, Verdict } from '../../server-core/auth/backend.ts'
import { Throttle } from '../../server-core/auth/throttle.ts'
import { silentLogger } from '../../server-core/log.ts'

const no = (reason: 'unknown' | 'wrong' | 'exists'): Verdict => ({ ok: false, reason })
const yes: Verdict = { ok: true }

/** Accounts in memory, which do not say when they were made. */
class MapBackend implements AuthBackend {
  readonly accounts = new Map<string, string>()
  /** What registration waits for before it writes. */
  gate: Promise<void> = Promise.resolve()

  async checkPassword(user: string, _host: string, password: Buffer): Promise<Verdict> {
    const kept = this.accounts.get(user)
    if (kept === undefined) return no('unknown')
    return kept === password.toString() ? yes : no('wrong')
  }

  async accountExists(user: string): Promise<boolean> {
    return this.accounts.has(user)
  }

  async register(user: string, _host: string, password: Buffer): Promise<Verdict> {
    if (this.accounts.has(user)) return no('exists')
    await this.gate
    this.accounts.set(user, password.toString())
    return yes
  }

  async setPassword(user: string, _host: string, password: Buffer): Promise<Verdict> {
    if (!this.accounts.has(user)) return no('unknown')
    this.accounts.set(user, password.toString())
    return yes
  }

  async remove(user: string): Promise<Verdict> {
    return this.accounts.delete(user) ? yes : no('unknown')
  }
}

const signals: Signals = {
  deadline: new AbortController().signal,
  change: new AbortController().signal,
  hold: () => Promise.resolve(),
}

/** Asks as a server does; the backends are named `new` and `old`. */
function service(backends: readonly AuthBackend[], learn?: string) {
  const log = silentLogger()
  const named = backends.map((backend, index) => {
    const name = index === backends.length - 1 ? 'old' : 'new'
    return { name, type: 'http', paths: [], backend }
  })
  const plan = { banPrefix: false, throttle: 0, hosts: undefined, backends: named, learn }
  const deployment = new Deployment(plan, log)
  const learner = learn === undefined ? undefined : new Learner(learn, log, new Statistics())
  const operations = new Operations({
    deployment,
    allowed: ['auth', 'isuser', 'removeuser', 'removeuser3', 'setpass', 'tryregister'],
    throttle: new Throttle(0),
    learner,
    recent: new RecentChanges(),
    log,
  })
  return {
    ask: async (request: string) => (await operations.carryOut(Buffer.from(request), signals)).outcome.kind,
    learned: async () => learner?.close(),
  }
}

function gate(): { readonly closed: Promise<void>; open(): void } {
  let open = () => {}
  const closed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { closed, open }
}

describe('a change that is sent again, where the backend does not say when accounts were made', () => {
  test('of a registration is answered with yes for the same password alone', async () => {
    const { ask } = service([new MapBackend()])
    expect(await ask('tryregister:ann:a.test:secret')).toBe('allow')
    expect(await ask('tryregister:ann:a.test:secret')).toBe('allow')
    expect(await ask('tryregister:ann:a.test:other')).toBe('deny')
    expect(await ask('setpass:ann:a.test:changed')).toBe('allow')
    expect(await ask('tryregister:ann:a.test:secret')).toBe('deny')
  })

  test('of an account that was there before is a conflict', async () => {
    const backend = new MapBackend()
    backend.accounts.set('ann', 'secret')
    expect(await service([backend]).ask('tryregister:ann:a.test:secret')).toBe('deny')
  })

  test('of a removal with the password, unless the account is there again', async () => {
    const backend = new MapBackend()
    const { ask } = service([backend])
    await ask('tryregister:ann:a.test:secret')
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('allow')
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('allow')
    expect(await ask('removeuser3:ann:b.test:secret')).toBe('deny')
    expect(await ask('removeuser3:ann:a.test:other')).toBe('deny')
    await ask('tryregister:ann:a.test:other')
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('deny')
    expect(backend.accounts).toEqual(new Map([['ann', 'other']]))
  })

  test('is not remembered when it was not made', async () => {
    const { ask } = service([new MapBackend()])
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('deny')
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('deny')
  })
})

test.each([
  ['just now', 0, 'allow'],
  ['long ago', -3600, 'deny'],
  ['in the future, by a clock that was set back since', 3600, 'deny'],
])('a registration of an account that was made %s', async (_, seconds, answer) => {
  const backend = Object.assign(new MapBackend(), {
    created: async () => Math.floor(Date.now() / 1000) + seconds,
  })
  backend.accounts.set('ann', 'secret')
  expect(await service([backend]).ask('tryregister:ann:a.test:secret')).toBe(answer)
})

describe('an account that is changed while it moves', () => {
  function moving() {
    const [target, old] = [new MapBackend(), new MapBackend()]
    old.accounts.set('ann', 'secret')
    const { closed, open } = gate()
    target.gate = closed
    return { target, old, open, ...service([target, old], 'new') }
  }

  test('gets its new password where it is afterwards', async () => {
    const { target, open, ask } = moving()
    expect(await ask('auth:ann:a.test:secret')).toBe('allow')
    const change = ask('setpass:ann:a.test:changed')
    await turn()
    open()
    expect(await change).toBe('allow')
    expect(await ask('auth:ann:a.test:secret')).toBe('deny')
    expect(await ask('auth:ann:a.test:changed')).toBe('allow')
    expect(target.accounts.get('ann')).toBe('changed')
  })

  test.each(['removeuser:ann:a.test', 'removeuser3:ann:a.test:secret'])(
    'by %s stays removed',
    async (request) => {
      const { target, old, open, ask, learned } = moving()
      expect(await ask('auth:ann:a.test:secret')).toBe('allow')
      const removal = ask(request)
      open()
      expect(await removal).toBe('allow')
      await learned()
      expect([...target.accounts, ...old.accounts]).toEqual([])
    },
  )

  test('by a removal with the password alone, does not move at all', async () => {
    const { target, old, open, ask, learned } = moving()
    expect(await ask('removeuser3:ann:a.test:secret')).toBe('allow')
    open()
    await learned()
    expect([...target.accounts, ...old.accounts]).toEqual([])
  })

  test.each([
    ['changed', (old: MapBackend) => old.accounts.set('ann', 'changed')],
    ['removed', (old: MapBackend) => old.accounts.delete('ann')],
  ])('by another process that has %s it, does not move', async (_, change) => {
    const { target, old, open, ask, learned } = moving()
    expect(await ask('auth:ann:a.test:secret')).toBe('allow')
    change(old)
    open()
    await learned()
    expect(target.accounts.has('ann')).toBe(false)
    expect(await ask('auth:ann:a.test:secret')).toBe('deny')
  })
})
