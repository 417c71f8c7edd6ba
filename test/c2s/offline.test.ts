/** Many stored messages, more than may wait for one connection: all arrive, and none is deleted before. */
import { afterEach, describe, expect, it } from 'vitest'
import { stop } from '../../server-core/extend/hooks.ts'
import type { TestClient } from '../harness/client.ts'
import { until } from '../harness/deadline.ts'
import { stanza } from '../modules/host.ts'
import { host, Rig } from './rig.ts'

const rigs: Rig[] = []
afterEach(() => {
  for (const rig of rigs.splice(0)) rig.close()
})

const count = 150
const body = 'x'.repeat(2_000)

/** A store of 300 kB, behind a connection for which 64 KiB may wait. */
async function start(options: Record<string, unknown> = {}): Promise<{ rig: Rig; deleted: number[] }> {
  const deleted: number[] = []
  const rig = await Rig.start({ max_output_bytes: 65_536, ...options }, {
    count: async () => count,
    delivered: async (_user: string, seqs: readonly number[]) => {
      deleted.push(...seqs)
    },
  } as never)
  rigs.push(rig)
  rig.hooks.add('resend_offline_messages_hook', host, (list) => [
    ...list,
    ...Array.from({ length: count }, (_, offline) =>
      stanza(`<message from='a@${host}' to='bob@${host}' id='${offline}'><body>${body}</body></message>`, {
        offline,
      }),
    ),
  ])
  return { rig, deleted }
}

const all = Array.from({ length: count }, (_, n) => n)
const ids = (bob: TestClient) =>
  bob.inbox.filter(({ name }) => name === 'message').map(({ attrs }) => Number(attrs['id']))

describe('a client that reads', () => {
  it('gets all of them, in order; then they are deleted', async () => {
    const { rig, deleted } = await start()
    const bob = await rig.login('bob')
    await until('all', () => ids(bob).length === count)
    expect(ids(bob)).toEqual(all)
    await until('all deleted', () => deleted.length === count)
    expect(deleted).toEqual(all)
  })

  it('gets all of them with stream management too, as it acknowledges', async () => {
    const { rig, deleted } = await start({ max_unacked: 100 })
    const bob = await rig.login('bob', { available: false })
    bob.send("<enable xmlns='urn:xmpp:sm:3'/>")
    await bob.waitFor('enabled')
    bob.send('<presence/>')
    let heard = 0
    while (heard < count + 1) {
      const one = await bob.waitFor(() => true)
      if (one.name === 'r') bob.send(`<a xmlns='urn:xmpp:sm:3' h='${heard}'/>`)
      else heard++
    }
    bob.send(`<a xmlns='urn:xmpp:sm:3' h='${heard}'/>`)
    await until('all deleted', () => deleted.length === count)
    expect(deleted).toEqual(all)
  })
})

describe('what others send meanwhile', () => {
  function gate(): { readonly open: () => void; readonly passed: Promise<void> } {
    let open: () => void = () => undefined
    const passed = new Promise<void>((resolve) => {
      open = resolve
    })
    return { open, passed }
  }

  async function waitingForTheStore(options: Record<string, unknown> = {}) {
    const { rig } = await start(options)
    const [asked, answer] = [gate(), gate()]
    rig.hooks.add('resend_offline_messages_hook', host, async (list) => {
      asked.open()
      await answer.passed
      return list
    })
    const alice = await rig.login('alice', { available: false })
    const bob = await rig.login('bob', { available: false })
    bob.send('<presence/>')
    await asked.passed
    return { rig, alice, bob, answer }
  }

  it('comes behind them, in order; presence and answers do not wait', async () => {
    const { alice, bob, answer } = await waitingForTheStore()
    for (const to of [`bob@${host}`, bob.jid])
      alice.send(`<message to='${to}' id='${count + (to === bob.jid ? 1 : 0)}'><body>now</body></message>`)
    alice.send(`<presence to='${bob.jid}'/>`)
    await bob.waitFor(({ attrs }) => attrs['from'] === alice.jid && attrs['type'] === undefined)
    expect(ids(bob)).toEqual([])
    answer.open()
    await until('all', () => ids(bob).length === count + 2)
    expect(ids(bob)).toEqual([...all, count, count + 1])
    alice.send(`<message to='${bob.jid}' id='${count + 2}'><body>later</body></message>`)
    await until('the last', () => ids(bob).at(-1) === count + 2)
  })

  it('is too much at max_mailbox: the session ends, and all of it is kept', async () => {
    const { rig, alice, bob, answer } = await waitingForTheStore({ max_mailbox: 10 })
    const stored: string[] = []
    rig.hooks.add('offline_message_hook', host, (_acc, { stanza: { id } }) => {
      stored.push(id)
      return stop()
    })
    for (let n = 0; n < 15; n++) alice.send(`<message to='bob@${host}' id='${n}'><body>now</body></message>`)
    expect((await bob.streamError()).condition).toBe('resource-constraint')
    answer.open()
    await alice.settled()
    expect(stored).toEqual(Array.from({ length: 15 }, (_, n) => `${n}`))
  })
})

describe('a client that does not read', () => {
  it('costs none that could not be written', async () => {
    const { rig, deleted } = await start({ send_timeout: '1s' })
    rig.hooks.add('resend_offline_messages_hook', host, (list) =>
      list.flatMap((one) => Array.from({ length: 60 }, () => one)),
    )
    const bob = await rig.login('bob', { available: false })
    bob.pause()
    bob.send('<presence/>')
    await until('the end', () => rig.connected.length === 0)
    expect(deleted.length).toBeLessThan(count * 60)
  })
})
