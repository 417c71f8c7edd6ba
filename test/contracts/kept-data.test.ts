/** Kinds of data that modules keep: every storage behaves the same, and one list knows all kinds. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { personalData } from '../../server-core/migrate/personal-data.ts'
import { openStorage, storageNames } from '../../server-core/storage/index.ts'
import type { Storage } from '../../server-core/storage/storage.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

const host = 'a.example'
const roomy = { elements: 100, bytes: 100_000 }

describe.each(storageNames)('%s', (name) => {
  let folder: Folder
  let storage: Storage

  beforeEach(async () => {
    folder = temporaryFolder('kept')
    storage = await openStorage(name, { file: folder.file('data.sqlite') })
  })
  afterEach(async () => {
    await storage.close()
    folder.remove()
  })

  it('a roster knows which requests wait for an answer', async () => {
    const item = { name: '', subscription: 'none', approved: false, groups: [], listed: true } as const
    const states = {
      'a@x': { pendingOut: false, pendingIn: undefined },
      'b@x': { pendingOut: true, pendingIn: undefined },
      'c@x': { pendingOut: false, pendingIn: '<presence/>' },
    }
    for (const [jid, state] of Object.entries(states)) {
      await storage.rosters.update('ann', host, jid, () => ({ ...item, ...state, jid }))
    }
    expect((await storage.rosters.pending('ann', host)).map(({ jid }) => jid)).toEqual(['b@x', 'c@x'])
    expect(await storage.rosters.pending('bob', host)).toEqual([])
  })

  describe('last activity', () => {
    it('is what was said last', async () => {
      expect(await storage.last.get('ann', host)).toBeUndefined()
      await storage.last.set('ann', host, { seconds: 10, status: 'gone' })
      await storage.last.set('ann', host, { seconds: 20, status: '' })
      expect(await storage.last.get('ann', host)).toEqual({ seconds: 20, status: '' })
      expect(await storage.last.get('ann', 'b.example')).toBeUndefined()
    })

    it('is counted strictly after a moment, for one host', async () => {
      for (const [user, seconds] of [
        ['a', 9],
        ['b', 10],
        ['c', 11],
        ['d', 12],
      ] as const) {
        await storage.last.set(user, host, { seconds, status: '' })
      }
      await storage.last.set('e', 'b.example', { seconds: 99, status: '' })
      expect(await storage.last.countSince(host, 10)).toBe(2)
      expect(await storage.last.countSince('c.example', 0)).toBe(0)
    })
  })

  describe('private elements', () => {
    it('are one for each namespace, the newest', async () => {
      await storage.privates.set(
        'ann',
        host,
        [
          { ns: 'b', xml: '<x/>' },
          { ns: 'a', xml: '<y/>' },
        ],
        roomy,
      )
      await storage.privates.set('ann', host, [{ ns: 'b', xml: '<z/>' }], roomy)
      expect(await storage.privates.get('ann', host, 'b')).toBe('<z/>')
      expect(await storage.privates.get('ann', host, 'c')).toBeUndefined()
      expect(await storage.privates.get('bob', host, 'b')).toBeUndefined()
      expect(await storage.privates.list('ann', host)).toEqual([
        { ns: 'a', xml: '<y/>' },
        { ns: 'b', xml: '<z/>' },
      ])
    })

    it('are stored all or not at all', async () => {
      const two = { elements: 2, bytes: 20 }
      expect(await storage.privates.set('ann', host, [{ ns: 'a', xml: '<x/>' }], two)).toBe('stored')
      const more = [
        { ns: 'b', xml: '<x/>' },
        { ns: 'c', xml: '<x/>' },
      ]
      expect(await storage.privates.set('ann', host, more, two)).toBe('full')
      expect(await storage.privates.set('ann', host, [{ ns: 'b', xml: `<${'x'.repeat(20)}/>` }], two)).toBe(
        'full',
      )
      expect(await storage.privates.list('ann', host)).toEqual([{ ns: 'a', xml: '<x/>' }])
      expect(await storage.privates.set('ann', host, [{ ns: 'a', xml: '<xxxxxxxxxx/>' }], two)).toBe('stored')
    })
  })

  it('a vCard is kept until it is replaced or deleted', async () => {
    expect(await storage.vcards.get('ann', host)).toBeUndefined()
    await storage.vcards.set('ann', host, '<vCard/>')
    await storage.vcards.set('ann', host, '<vCard><FN/></vCard>')
    expect(await storage.vcards.get('ann', host)).toBe('<vCard><FN/></vCard>')
    await storage.vcards.set('ann', host, undefined)
    expect(await storage.vcards.get('ann', host)).toBeUndefined()
  })

  describe('blocklists', () => {
    const change = (add: string[], remove: string[] | 'all' = [], limit = 3) =>
      storage.blocklists.change('ann', host, { add, remove }, limit)

    it('change at once, and say how', async () => {
      expect(await change(['b@x', 'a@x'])).toEqual({ before: [], after: ['a@x', 'b@x'] })
      expect(await change(['c@x', 'a@x'], ['b@x', 'nobody@x'])).toEqual({
        before: ['a@x', 'b@x'],
        after: ['a@x', 'c@x'],
      })
      expect(await change([], 'all')).toEqual({ before: ['a@x', 'c@x'], after: [] })
      expect(await storage.blocklists.get('ann', host)).toEqual([])
    })

    it('hold no more than they may', async () => {
      await change(['a@x', 'b@x'])
      expect(await change(['b@x', 'c@x', 'd@x'])).toBe('full')
      expect(await storage.blocklists.get('ann', host)).toEqual(['a@x', 'b@x'])
      expect(await change(['c@x', 'd@x'], ['a@x'])).not.toBe('full')
    })
  })

  it('who is connected without an account is known until he is gone', async () => {
    for (const user of ['b', 'a', 'b']) await storage.anonymous.add(user, host)
    await storage.anonymous.add('c', 'b.example')
    expect(await storage.anonymous.list(host)).toEqual(['a', 'b'])
    await storage.last.set('a', host, { seconds: 1, status: '' })
    await storage.anonymous.remove('a', host)
    expect(await storage.last.get('a', host)).toBeDefined()
    await storage.removeAccount('b', host)
    expect(await storage.anonymous.list(host)).toEqual([])
    expect(await storage.anonymous.list('b.example')).toEqual(['c'])
  })

  describe('what modules keep', () => {
    const ann = { module: 'mod_a', user: 'ann', host }
    const limits = { keys: 2, bytes: 10 }
    const set = (owner: typeof ann, key: string, value: string | undefined) =>
      storage.moduleData.update(owner, key, () => value, limits)

    it('is each one’s own', async () => {
      const owners = [
        ann,
        { ...ann, user: 'bob' },
        { ...ann, user: '' },
        { ...ann, module: 'mod_b' },
        { ...ann, host: 'b.example' },
      ]
      for (const [n, owner] of owners.entries()) await set(owner, 'k', `${n}`)
      for (const [n, owner] of owners.entries()) {
        expect(await storage.moduleData.get(owner, 'k')).toBe(`${n}`)
        expect(await storage.moduleData.list(owner)).toEqual([{ key: 'k', value: `${n}` }])
      }
      expect(await storage.moduleData.ofAccount('ann', host)).toEqual([
        { module: 'mod_a', key: 'k', value: '0' },
        { module: 'mod_b', key: 'k', value: '3' },
      ])
      expect(await storage.moduleData.countModule('mod_a', host)).toBe(3)
      expect(await storage.moduleData.removeModule('mod_a', host)).toBe(3)
      expect(await Promise.all(owners.map((owner) => storage.moduleData.get(owner, 'k')))).toEqual([
        undefined,
        undefined,
        undefined,
        '3',
        '4',
      ])
      await storage.removeHost(host)
      expect(await storage.moduleData.get({ ...ann, module: 'mod_b' }, 'k')).toBeUndefined()
      expect(await storage.moduleData.get({ ...ann, host: 'b.example' }, 'k')).toBe('4')
    })

    it('changes with nothing in between, and not at all when that throws', async () => {
      const more = (old: string | undefined) => `${Number(old ?? 0) + 1}`
      await Promise.all(Array.from({ length: 20 }, () => storage.moduleData.update(ann, 'n', more, limits)))
      expect(await storage.moduleData.get(ann, 'n')).toBe('20')
      const failing = storage.moduleData.update(
        ann,
        'n',
        () => {
          throw new Error('mine')
        },
        limits,
      )
      await expect(failing).rejects.toThrow('mine')
      expect(await storage.moduleData.get(ann, 'n')).toBe('20')
      await set(ann, 'n', undefined)
      expect(await storage.moduleData.list(ann)).toEqual([])
    })

    it('is no more than it may be', async () => {
      expect(await set(ann, 'a', '123')).toBe('done')
      expect(await set(ann, 'b', 'ü234')).toBe('done')
      expect(await set(ann, 'b', 'ü2345')).toBe('full')
      expect(await set(ann, 'c', '')).toBe('full')
      expect(await set(ann, 'a', '12')).toBe('done')
      expect(await set(ann, 'b', 'ü2345')).toBe('done')
      expect(await storage.moduleData.list(ann)).toEqual([
        { key: 'a', value: '12' },
        { key: 'b', value: 'ü2345' },
      ])
    })
  })

  describe('what is kept for an account', () => {
    const fill = async (user: string): Promise<void> => {
      await storage.accounts.create(user, host, [])
      await storage.accounts.setBan(user, host, { since: 1_700_000_000, reason: 'spam', by: 'root' })
      await storage.blocklists.change(user, host, { add: ['bad@x'], remove: [] }, 9)
      await storage.last.set(user, host, { seconds: 1_700_000_000, status: 'bye' })
      const text = "<message from='j&amp;b@x/&apos;r' to='ann@a.example'><body>Hi</body></message>"
      await storage.offline.store(user, host, text, 1_700_000_000_999, undefined, {
        messages: 9,
        bytes: 9_999,
      })
      await storage.privates.set(user, host, [{ ns: 'n', xml: "<x xmlns='n'/>" }], roomy)
      await storage.rosters.update(user, host, 'bob@x', () => ({
        jid: 'bob@x',
        name: 'Bob',
        subscription: 'none',
        pendingOut: true,
        pendingIn: '<presence/>',
        approved: false,
        groups: ['A', 'B'],
        listed: true,
      }))
      await storage.vcards.set(user, host, '<vCard/>')
      const owner = { module: 'mod_x', user, host }
      await storage.moduleData.update(owner, 'k', () => '{"n":1}', { keys: 9, bytes: 99 })
    }

    const exported = async (user: string): Promise<Record<string, readonly (readonly string[])[]>> => {
      const files: Record<string, readonly (readonly string[])[]> = {}
      for (const kind of personalData) {
        const rows: (readonly string[])[] = []
        for await (const row of kind.rows(storage, user, host)) {
          expect(row).toHaveLength(kind.header.length)
          rows.push(row)
        }
        files[kind.name] = rows
      }
      return files
    }

    it('can be taken out, kind by kind', async () => {
      await fill('ann')
      const account = await storage.accounts.get('ann', host)
      const created = `${new Date((account?.created ?? 0) * 1_000).toISOString().slice(0, 19)}Z`
      expect(await exported('ann')).toEqual({
        account: [['ann@a.example', created, 'false', '2023-11-14T22:13:20Z', 'spam']],
        privacy: [['bad@x']],
        last: [['2023-11-14T22:13:20Z', 'bye']],
        module_data: [['mod_x', 'k', '{"n":1}']],
        offline: [
          [
            '2023-11-14T22:13:20Z',
            "j&b@x/'r",
            'ann@a.example',
            "<message from='j&amp;b@x/&apos;r' to='ann@a.example'><body>Hi</body></message>",
          ],
        ],
        private: [['n', "<x xmlns='n'/>"]],
        roster: [['bob@x', 'Bob', 'none', 'both', 'A, B', '<presence/>', '']],
        vcard: [['ann@a.example', '<vCard/>']],
      })
    })

    it('goes with the account, and nobody else loses anything', async () => {
      await fill('ann')
      await fill('bob')
      const before = await exported('bob')
      expect(await storage.removeAccount('ann', host)).toBe(true)
      for (const [kind, rows] of Object.entries(await exported('ann'))) expect(rows, kind).toEqual([])
      expect(await exported('bob')).toEqual(before)
      for (const [kind, rows] of Object.entries(before)) expect(rows, kind).not.toEqual([])
    })
  })
})
