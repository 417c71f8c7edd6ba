/** Every storage behaves the same, as storage.ts says. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openStorage, storageNames } from '../../server-core/storage/index.ts'
import {
  type Credential,
  type RosterItem,
  type Storage,
  StorageUnavailable,
} from '../../server-core/storage/storage.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

const host = 'a.example'
const key = (format: string, value = `a ${format} value`, label = ''): Credential => ({
  label,
  format,
  value,
  changed: 1000,
})

describe.each(storageNames)('%s', (name) => {
  let folder: Folder
  let storage: Storage

  beforeEach(async () => {
    folder = temporaryFolder('storage')
    storage = await openStorage(name, { file: folder.file('data.sqlite') })
  })

  afterEach(async () => {
    await storage.close()
    folder.remove()
  })

  async function users(of = host): Promise<string[]> {
    const names: string[] = []
    for await (const user of storage.accounts.list(of)) names.push(user)
    return names
  }

  describe('accounts', () => {
    test('are made once, with their credentials', async () => {
      const before = Math.floor(Date.now() / 1000)
      expect(await storage.accounts.get('ann', host)).toBeUndefined()
      expect(await storage.accounts.create('ann', host, [key('two'), key('one')])).toBe(true)
      expect(await storage.accounts.create('ann', host, [key('three')])).toBe(false)
      const account = await storage.accounts.get('ann', host)
      expect(account).toMatchObject({ user: 'ann', host, disabled: false, ban: undefined })
      expect(account?.created).toBeGreaterThanOrEqual(before)
      expect(await storage.accounts.credentials('ann', host)).toEqual([key('one'), key('two')])
      expect(await storage.accounts.credentials('bob', host)).toEqual([])
    })

    test('that are asked for at the same time are made once', async () => {
      const made = await Promise.all(
        ['one', 'two', 'three'].map((format) => storage.accounts.create('ann', host, [key(format)])),
      )
      expect(made.filter(Boolean)).toHaveLength(1)
      expect(await storage.accounts.credentials('ann', host)).toHaveLength(1)
    })

    test('keep the credentials of other labels when those of one are replaced', async () => {
      await storage.accounts.create('ann', host, [key('one'), key('two'), key('one', 'for mail', 'mail')])
      expect(await storage.accounts.setCredentials('ann', host, '', [key('three')])).toBe(true)
      expect(await storage.accounts.credentials('ann', host)).toEqual([
        key('three'),
        key('one', 'for mail', 'mail'),
      ])
      expect(await storage.accounts.setCredentials('bob', host, '', [key('one')])).toBe(false)
      expect(await storage.accounts.get('bob', host)).toBeUndefined()
    })

    test('swap a credential only if it is still what was read', async () => {
      await storage.accounts.create('ann', host, [key('one', 'old'), key('two', 'kept')])
      const now = [key('three', 'new')]
      expect(await storage.accounts.replaceCredential('ann', host, key('one', 'other'), now)).toBe(false)
      expect(await storage.accounts.replaceCredential('ann', host, key('one', 'old'), now)).toBe(true)
      expect(await storage.accounts.replaceCredential('ann', host, key('one', 'old'), now)).toBe(false)
      expect(await storage.accounts.credentials('ann', host)).toEqual([
        key('three', 'new'),
        key('two', 'kept'),
      ])
    })

    test('are disabled and banned, if there are any', async () => {
      await storage.accounts.create('ann', host, [])
      const ban = { since: 1234, reason: 'spam', by: 'root@a.example' }
      expect(await storage.accounts.setDisabled('ann', host, true)).toBe(true)
      expect(await storage.accounts.setBan('ann', host, ban)).toBe(true)
      expect(await storage.accounts.get('ann', host)).toMatchObject({ disabled: true, ban })
      expect(await storage.accounts.setDisabled('ann', host, false)).toBe(true)
      expect(await storage.accounts.setBan('ann', host, undefined)).toBe(true)
      expect(await storage.accounts.get('ann', host)).toMatchObject({ disabled: false, ban: undefined })
      expect(await storage.accounts.setDisabled('bob', host, true)).toBe(false)
      expect(await storage.accounts.setBan('bob', host, ban)).toBe(false)
      const gone = storage.accounts.setBan('ann', host, ban, AbortSignal.abort(new Error('gone')))
      await expect(gone).rejects.toThrow('gone')
      expect(await storage.accounts.get('ann', host)).toMatchObject({ ban: undefined })
    })

    test('are listed in order of their names, also over several pages, and host by host', async () => {
      const names = Array.from({ length: 2345 }, (_, i) => `user-${String(i).padStart(4, '0')}`)
      const shuffled = names.toSorted((one, other) => Number(other.at(-1)) - Number(one.at(-1)))
      await Promise.all(shuffled.map((user) => storage.accounts.create(user, host, [])))
      await storage.accounts.create('zoe', 'b.example', [])
      expect(await users()).toEqual(names)
      expect(await storage.accounts.count(host)).toBe(2345)
      expect(await users('b.example')).toEqual(['zoe'])
      expect(await users('c.example')).toEqual([])
      expect(await storage.accounts.count('c.example')).toBe(0)
      expect(await storage.accounts.hosts()).toEqual([host, 'b.example'])
      await storage.removeAccount('zoe', 'b.example')
      expect(await storage.accounts.hosts()).toEqual([host])
    })

    test('are counted by the formats of their own passwords', async () => {
      await storage.accounts.create('ann', host, [key('one'), key('two')])
      await storage.accounts.create('bob', host, [key('two')])
      await storage.accounts.create('cid', host, [key('three', 'for mail', 'mail')])
      expect(await storage.accounts.formats(host)).toEqual(
        new Map([
          ['one', 1],
          ['two', 2],
        ]),
      )
      const sets = async () =>
        Object.fromEntries(
          (await storage.accounts.formatSets(host)).map(({ formats, accounts }) => [
            formats.join(),
            accounts,
          ]),
        )
      expect(await sets()).toEqual({ 'one,two': 1, two: 1, '': 1 })
      await storage.accounts.setCredentials('bob', host, '', [key('one')])
      await storage.accounts.replaceCredential('ann', host, key('two'), [])
      await storage.removeAccount('cid', host)
      expect(await storage.accounts.formats(host)).toEqual(new Map([['one', 2]]))
      expect(await sets()).toEqual({ one: 2 })
      expect(await storage.accounts.count(host)).toBe(2)
      expect(await storage.accounts.formats('b.example')).toEqual(new Map())
    })

    test('are not changed when the signal has aborted', async () => {
      const late = AbortSignal.abort(new Error('too late'))
      await storage.accounts.create('ann', host, [key('one')])
      await expect(storage.accounts.create('bob', host, [], late)).rejects.toThrow('too late')
      await expect(storage.accounts.setCredentials('ann', host, '', [], late)).rejects.toThrow('too late')
      await expect(storage.removeAccount('ann', host, late)).rejects.toThrow('too late')
      expect(await users()).toEqual(['ann'])
      expect(await storage.accounts.credentials('ann', host)).toEqual([key('one')])
    })
  })

  describe('rosters', () => {
    const contact: RosterItem = {
      jid: 'bob@b.example',
      name: 'Bob',
      subscription: 'none',
      pendingOut: false,
      pendingIn: undefined,
      approved: false,
      groups: ['Friends', 'Work'],
      listed: true,
    }
    const set = (item: RosterItem) => storage.rosters.update('ann', host, item.jid, () => item)
    const jids = async (since: number) =>
      (await storage.rosters.changesSince('ann', host, since))?.map(({ jid, item }) => [jid, item?.name])

    test('keep everything of an item', async () => {
      const full: RosterItem = {
        jid: 'cid@b.example',
        name: 'Çid',
        subscription: 'both',
        pendingOut: true,
        pendingIn: '<presence type="subscribe"/>',
        approved: true,
        groups: [],
        listed: true,
      }
      expect(await set(contact)).toMatchObject({ before: undefined, after: contact })
      await set(full)
      expect(await storage.rosters.get('ann', host, 'cid@b.example')).toEqual(full)
      expect(await storage.rosters.list('ann', host)).toEqual([contact, full])
      expect(await storage.rosters.list('ann', 'b.example')).toEqual([])
    })

    test('give each change what the one before left', async () => {
      const changes = Array.from({ length: 20 }, (_, i) =>
        storage.rosters.update('ann', host, contact.jid, (old) => ({
          ...contact,
          groups: [...(old?.groups ?? []), `group ${i}`],
        })),
      )
      await Promise.all(changes)
      expect((await storage.rosters.get('ann', host, contact.jid))?.groups).toHaveLength(20)
    })

    test('take nothing of a change that throws', async () => {
      await set(contact)
      const change = storage.rosters.update('ann', host, contact.jid, () => {
        throw new Error('not allowed')
      })
      await expect(change).rejects.toThrow('not allowed')
      expect(await storage.rosters.list('ann', host)).toEqual([contact])
    })

    test('have a version that grows with what shows, and with nothing else', async () => {
      expect(await storage.rosters.version('ann', host)).toBe(0)
      const { version: first } = await set(contact)
      expect(first).toBeGreaterThan(0)
      expect(await set({ ...contact, pendingIn: '<presence/>' })).toMatchObject({ version: first })
      expect(await storage.rosters.update('ann', host, contact.jid, (old) => old)).toMatchObject({
        version: first,
      })
      const pending: RosterItem = {
        ...contact,
        jid: 'dan@b.example',
        listed: false,
        pendingIn: '<presence/>',
      }
      expect(await set(pending)).toMatchObject({ version: first })
      expect(await storage.rosters.count('ann', host)).toBe(1)
      const { version: second } = await set({ ...pending, listed: true })
      expect(second).toBeGreaterThan(first)
      const { version: third, before } = await storage.rosters.update(
        'ann',
        host,
        contact.jid,
        () => undefined,
      )
      expect(before).toMatchObject({ jid: contact.jid })
      expect(third).toBeGreaterThan(second)
      expect(await storage.rosters.version('ann', host)).toBe(third)
    })

    test('tell what changed since a version, one line for each contact', async () => {
      const { version: start } = await set(contact)
      const other = { ...contact, jid: 'cid@b.example', name: 'Cid' }
      await set(other)
      await set({ ...contact, name: 'Robert' })
      await set({ ...contact, jid: 'dan@b.example', listed: false })
      expect(await jids(start)).toEqual([
        ['cid@b.example', 'Cid'],
        ['bob@b.example', 'Robert'],
      ])
      await storage.rosters.update('ann', host, 'cid@b.example', () => undefined)
      expect(await jids(start)).toEqual([
        ['bob@b.example', 'Robert'],
        ['cid@b.example', undefined],
      ])
      const { version: last } = await set(other)
      expect(await jids(start)).toEqual([
        ['bob@b.example', 'Robert'],
        ['cid@b.example', 'Cid'],
      ])
      expect(await jids(last)).toEqual([])
      expect(await jids(last + 1)).toBeUndefined()
      expect(await jids(start - 1)).toBeUndefined()
    })

    test('forget removals of long ago, and say so', async () => {
      const { version: start } = await set(contact)
      const many = Array.from({ length: 300 }, (_, i) => ({ ...contact, jid: `user-${i}@b.example` }))
      await Promise.all(many.map(set))
      const recent = await storage.rosters.version('ann', host)
      await Promise.all(many.map(({ jid }) => storage.rosters.update('ann', host, jid, () => undefined)))
      const now = await storage.rosters.version('ann', host)
      expect(await jids(start)).toBeUndefined()
      expect(await jids(recent)).toBeUndefined()
      expect(await jids(now - 100)).toHaveLength(100)
    })

    test('of an account that was made again give out no version from before', async () => {
      const { version } = await set(contact)
      await storage.removeAccount('ann', host)
      expect(await storage.rosters.version('ann', host)).toBe(0)
      await new Promise((resolve) => setTimeout(resolve, 2))
      expect((await set(contact)).version).toBeGreaterThan(version)
      expect(await jids(version)).toBeUndefined()
    })
  })

  describe('offline messages', () => {
    const limits = { messages: 3, bytes: 100 }
    const store = (stanza: string, expires?: number) =>
      storage.offline.store('ann', host, stanza, 5000, expires, limits)

    test('come back in order until they are deleted', async () => {
      expect(await store('<one/>')).toBe('stored')
      expect(await store('<two/>')).toBe('stored')
      const waiting = await storage.offline.list('ann', host)
      expect(waiting.map(({ stanza, received }) => [stanza, received])).toEqual([
        ['<one/>', 5000],
        ['<two/>', 5000],
      ])
      const [first, second] = waiting.map(({ seq }) => seq) as [number, number]
      expect(second).toBeGreaterThan(first)
      await storage.offline.delete('bob', host, [first])
      expect(await storage.offline.count('ann', host)).toBe(2)
      await storage.offline.delete('ann', host, [first])
      expect((await storage.offline.list('ann', host)).map(({ stanza }) => stanza)).toEqual(['<two/>'])
      expect(await storage.offline.count('ann', host)).toBe(1)
    })

    test('are refused when there are too many, until some went', async () => {
      for (const stanza of ['<one/>', '<two/>', '<three/>']) await store(stanza)
      expect(await store('<four/>')).toBe('full')
      expect(await storage.offline.count('ann', host)).toBe(3)
      const [first] = await storage.offline.list('ann', host)
      await storage.offline.delete('ann', host, [first?.seq ?? 0])
      expect(await store('<four/>')).toBe('stored')
    })

    test('are refused when they are too long, counted in bytes', async () => {
      expect(await store('é'.repeat(51))).toBe('full')
      expect(await store('é'.repeat(50))).toBe('stored')
      expect(await store('x')).toBe('full')
    })

    test('that have expired are not there, and do not fill the store', async () => {
      await store('<one/>', Date.now() - 1)
      await store('<two/>', Date.now() + 60_000)
      await store('<three/>')
      expect((await storage.offline.list('ann', host)).map(({ stanza }) => stanza)).toEqual([
        '<two/>',
        '<three/>',
      ])
      expect(await storage.offline.count('ann', host)).toBe(2)
      expect(await store('<four/>')).toBe('stored')
      expect(await store('<five/>')).toBe('full')
    })
  })

  describe('offline messages of many', () => {
    const limits = { messages: 5_000, bytes: 1e9 }
    const store = (user: string, of: string, received: number, expires?: number) =>
      storage.offline.store(user, of, '<m/>', received, expires, limits)

    test('are counted and deleted by age, of one host or of all', async () => {
      await Promise.all(Array.from({ length: 1_500 }, (_, n) => store('ann', host, n)))
      await store('bob', 'b.example', 10)
      expect(await storage.offline.countBefore(host, 1_200)).toBe(1_200)
      expect(await storage.offline.countBefore(undefined, 1_200)).toBe(1_201)
      expect(await storage.offline.deleteBefore(host, 1_200)).toBe(1_200)
      expect(await storage.offline.count('ann', host)).toBe(300)
      expect(await storage.offline.deleteBefore(undefined, 20)).toBe(1)
      expect(await storage.offline.count('bob', 'b.example')).toBe(0)
    })

    test('go when they have expired', async () => {
      await store('ann', host, 1, Date.now() - 1)
      await store('ann', 'b.example', 1, Date.now() - 1)
      await store('ann', host, 1, Date.now() + 60_000)
      await store('ann', host, 1)
      expect(await storage.offline.deleteExpired(host)).toBe(1)
      expect(await storage.offline.deleteExpired(undefined)).toBe(1)
      expect(await storage.offline.count('ann', host)).toBe(2)
    })
  })

  test('removing an account removes everything of it, and nothing of others', async () => {
    for (const user of ['ann', 'bob']) {
      await storage.accounts.create(user, host, [key('one')])
      await storage.rosters.update(user, host, 'cid@b.example', () => ({
        jid: 'cid@b.example',
        name: '',
        subscription: 'both',
        pendingOut: false,
        pendingIn: undefined,
        approved: false,
        groups: [],
        listed: true,
      }))
      await storage.offline.store(user, host, '<one/>', 1, undefined, { messages: 10, bytes: 100 })
    }
    const left = async (user: string) => [
      await storage.accounts.get(user, host),
      await storage.accounts.credentials(user, host),
      await storage.rosters.list(user, host),
      await storage.rosters.version(user, host),
      await storage.offline.list(user, host),
      await storage.offline.count(user, host),
    ]
    const bobs = await left('bob')
    expect(await storage.removeAccount('ann', host)).toBe(true)
    expect(await storage.removeAccount('ann', host)).toBe(false)
    expect(await left('ann')).toEqual([undefined, [], [], 0, [], 0])
    expect(await left('bob')).toEqual(bobs)
    expect(await storage.accounts.count(host)).toBe(1)
  })

  test('a removed host leaves nothing, and the others as they were', async () => {
    for (const of of [host, 'b.example']) {
      await storage.accounts.create('ann', of, [key('one')])
      await storage.rosters.update('ann', of, 'bob@a.example', () => undefined)
      await storage.offline.store('ann', of, '<message/>', 1, undefined, { messages: 9, bytes: 999 })
      await storage.last.set('ann', of, { seconds: 5, status: '' })
    }
    await storage.removeHost(host)
    expect(await users()).toEqual([])
    expect(await storage.offline.count('ann', host)).toBe(0)
    expect(await storage.last.get('ann', host)).toBeUndefined()
    expect(await users('b.example')).toEqual(['ann'])
    expect(await storage.offline.count('ann', 'b.example')).toBe(1)
  })

  test('domains are kept with their options, in order, and go without their accounts', async () => {
    expect(await storage.domains.list()).toEqual([])
    await storage.accounts.create('ann', 'b.example', [key('one')])
    await storage.domains.set({ host: 'c.example', options: {} })
    await storage.domains.set({ host: 'b.example', options: { modules: { mod_echo: null } } })
    await storage.domains.set({ host: 'c.example', options: { auth_method: ['internal'] } })
    expect(await storage.domains.list()).toEqual([
      { host: 'b.example', options: { modules: { mod_echo: null } } },
      { host: 'c.example', options: { auth_method: ['internal'] } },
    ])
    expect(await storage.domains.remove('b.example')).toBe(true)
    expect(await storage.domains.remove('b.example')).toBe(false)
    expect((await storage.domains.list()).map((domain) => domain.host)).toEqual(['c.example'])
    expect(await users('b.example')).toEqual(['ann'])
  })

  test('what was written is there for the next to open it', async () => {
    await storage.accounts.create('ann', host, [key('one')])
    await storage.close()
    await expect(storage.accounts.get('ann', host)).rejects.toThrow(StorageUnavailable)
    storage = await openStorage(name, { file: folder.file('data.sqlite') })
    expect(await storage.accounts.credentials('ann', host)).toEqual([key('one')])
  })
})
