/** What holds for every module in the table. */
import { afterEach, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { defaultModules, modules } from '../../server-core/modules/index.ts'
import { here, startHost, type TestHost } from '../modules/host.ts'

let host: TestHost

afterEach(() => host.stop())

const names = modules.map((spec) => spec.name)

/** Everything that a module could leave behind, as one text. */
function registrations(watched: TestHost, iqs: ReadonlySet<string>): string {
  const provided = ['roster', 'offline', 'last', 'private', 'vcard', 'blocking'].filter(
    (name) => watched.modules.provided(here, name as 'roster') !== undefined,
  )
  return JSON.stringify({
    hooks: names.map((name) => watched.hooks.ownedBy(name)),
    iqs: [...iqs],
    routes: [`echo.${here}`].filter((domain) => watched.router.hasRoute(domain)),
    commands: [...watched.commands],
    provided,
    timers: vi.getTimerCount(),
  })
}

/** Follows what is added and taken away. */
function watchIqs(watched: TestHost): ReadonlySet<string> {
  const active = new Set<string>()
  const add = watched.iqs.add.bind(watched.iqs)
  watched.iqs.add = (component, domain, namespace, ...rest) => {
    const key = `${component} ${domain} ${namespace}`
    const undo = add(component, domain, namespace, ...rest)
    active.add(key)
    return () => {
      active.delete(key)
      return undo()
    }
  }
  return active
}

it('is in alphabetical order, without repetition', () => {
  expect(names).toEqual([...new Set(names)].sort((one, other) => (one < other ? -1 : 1)))
  return startHost(modules, {}).then((started) => {
    host = started
  })
})

it.each(modules)('$name starts, stops, starts again and leaves nothing behind', async (spec) => {
  host = await startHost(modules, {})
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  try {
    const iqs = watchIqs(host)
    const needed = Object.fromEntries((spec.requires ?? []).map((name) => [name, null]))
    await host.modules.startAll(here, needed)
    const before = registrations(host, iqs)
    await host.modules.start(here, spec.name, null)
    const running = registrations(host, iqs)
    expect(running).not.toBe(before)
    await host.modules.stop(here, spec.name)
    expect(registrations(host, iqs)).toBe(before)
    await host.modules.start(here, spec.name, null)
    expect(registrations(host, iqs)).toBe(running)
    await host.modules.reload(here, spec.name, null)
    expect(registrations(host, iqs)).toBe(running)
    await host.modules.stopAll(here)
  } finally {
    vi.useRealTimers()
  }
})

it.each(modules)('$name says what it is and what each option does', async (spec) => {
  host = await startHost(modules, {})
  expect(spec.doc).toMatch(/^[A-Z].{10,}[^.]$/)
  expect(spec.name).toMatch(/^mod_[a-z_]+$/)
  for (const [name, option] of Object.entries(spec.options)) {
    expect(name).toMatch(/^[a-z][a-z_]*$/)
    expect(option.description, `${spec.name}: ${name}`).toBeTruthy()
    expect(option.safeParse(undefined).success, `${spec.name}: ${name} has a default`).toBe(true)
  }
  expect(z.strictObject(spec.options).safeParse({ no_such_option: 1 }).success).toBe(false)
})

it('all run together, in whatever order they are written down', async () => {
  const wanted = Object.fromEntries([...names].reverse().map((name) => [name, null]))
  host = await startHost(modules, wanted)
  expect(new Set(host.modules.loaded(here))).toEqual(new Set(names))
  await host.modules.stopAll(here)
  expect(names.map((name) => host.hooks.ownedBy(name))).toEqual(names.map(() => 0))
})

it('the usual ones are in the table', async () => {
  host = await startHost(modules, defaultModules)
  for (const name of Object.keys(defaultModules)) expect(host.modules.isLoaded(here, name)).toBe(true)
})
