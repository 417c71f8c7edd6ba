/** Bytes of a socket become events, one at a time; who is busy is not disturbed, and who is fast is slowed down. */
import { type AddressInfo, createServer, type Socket, connect as tcpConnect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Connection } from '../../server-core/net/connection.ts'
import { Receiver, type StreamLogic } from '../../server-core/net/receiver.ts'
import { Shaper } from '../../server-core/net/shaper.ts'
import { until } from '../harness/deadline.ts'

const limits = { maxStanzaSize: 10_000, maxElements: 100, maxDepth: 10, maxAttributes: 10, maxNameBytes: 100 }
const connectionLimits = {
  sendTimeout: 5_000,
  maxOutputBytes: 1e6,
  closeTimeout: 500,
  tlsHandshakeTimeout: 500,
}
const header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

interface Setup {
  readonly client: Socket
  readonly connection: Connection
  readonly receiver: Receiver
  readonly events: string[]
}

async function setup(
  handle: (name: string) => void | Promise<void> = () => undefined,
  shaper?: Shaper,
): Promise<Setup> {
  const server = createServer({ noDelay: true, pauseOnConnect: true })
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = tcpConnect((server.address() as AddressInfo).port, '127.0.0.1').setNoDelay()
  client.on('error', () => undefined)
  const connection = new Connection(await accepted, connectionLimits)
  server.close()
  ends.push(
    () => client.destroy(),
    () => connection.destroy('the test is over'),
  )
  const events: string[] = []
  const logic: StreamLogic = {
    onStreamStart: (root) => {
      events.push(`start ${root.name}`)
      return handle('start')
    },
    onElement: (element) => {
      events.push(element.name)
      return handle(element.name)
    },
    onStreamEnd: () => void events.push('end'),
    onStreamError: ({ condition }) => void events.push(`error ${condition}`),
    onClosed: (reason) => void events.push(`closed ${reason}`),
  }
  const receiver = new Receiver(connection, logic, limits, shaper)
  connection.resume()
  return { client, connection, receiver, events }
}

/** A promise and what settles it. */
function gate(): { readonly open: () => void; readonly passed: Promise<void> } {
  let open: () => void = () => undefined
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

describe('events', () => {
  it('come in order, and the end comes last', async () => {
    const { client, events } = await setup()
    client.end(`${header}<a/><b/></stream:stream>`)
    await until('the end', () => events.at(-1)?.startsWith('closed'))
    expect(events).toEqual(['start stream:stream', 'a', 'b', 'end', 'closed undefined'])
  })

  it('stop with an error; what follows is not looked at', async () => {
    const { client, events } = await setup()
    client.write(`${header}<a/><!-- --><b/>`)
    await until('the error', () => events.some((event) => event.startsWith('error')))
    client.end('<c/>')
    await until('the end', () => events.at(-1)?.startsWith('closed'))
    expect(events).toEqual(['start stream:stream', 'a', 'error restricted-xml', 'closed undefined'])
  })

  it('stop when the logic wants no more', async () => {
    const one = await setup((name) => {
      if (name === 'a') one.receiver.stop()
    })
    one.client.end(`${header}<a/><b/>`)
    await until('the end', () => one.events.at(-1)?.startsWith('closed'))
    expect(one.events).not.toContain('b')
  })
})

describe('a logic that waits', () => {
  it('gets nothing meanwhile, whatever comes, and everything afterwards, in order', async () => {
    const slow = gate()
    const { client, events } = await setup((name) => (name === 'a' ? slow.passed : undefined))
    client.write(`${header}<a/><b/>`)
    await until('a', () => events.includes('a'))
    for (const name of ['c', 'd', 'e']) {
      client.write(`<${name}/>`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(events).toEqual(['start stream:stream', 'a'])
    slow.open()
    await until('the rest', () => events.length === 6)
    expect(events).toEqual(['start stream:stream', 'a', 'b', 'c', 'd', 'e'])
  })

  it('lets the peer wait: no more than a little is read ahead', async () => {
    const slow = gate()
    const { client, events } = await setup((name) => (name === 'a' ? slow.passed : undefined))
    client.write(`${header}<a/>`)
    await until('a', () => events.includes('a'))
    const stanza = `<b>${'x'.repeat(9_000)}</b>`
    const total = 4_000
    for (let n = 0; n < total; n++) client.write(stanza)
    await new Promise((resolve) => setTimeout(resolve, 200))
    // the socket's buffers are full: the rest is still with the peer
    expect(client.writableLength).toBeGreaterThan((total * stanza.length) / 2)
    slow.open()
    await until('all of it', () => events.length === total + 2)
  })

  it('is not told anything behind the end of its connection but that', async () => {
    const slow = gate()
    const { client, connection, events } = await setup((name) => (name === 'a' ? slow.passed : undefined))
    client.write(`${header}<a/><b/>`)
    await until('a', () => events.includes('a'))
    connection.destroy('enough')
    await until('the end', () => events.at(-1)?.startsWith('closed'))
    slow.open()
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual(['start stream:stream', 'a', 'closed enough'])
  })
})

describe('a shaper', () => {
  it('slows a peer down to its rate', async () => {
    const { client, events } = await setup(() => undefined, new Shaper(20_000, 5_000, Date.now()))
    const began = performance.now()
    client.write(header)
    for (let n = 0; n < 15; n++) {
      client.write(`<a>${'x'.repeat(990)}</a>`)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until('all', () => events.length === 16)
    client.write('<end/>')
    await until('the last', () => events.at(-1) === 'end')
    // 15,000 bytes are 5,000 at once and the others in half a second
    expect(performance.now() - began).toBeGreaterThan(350)
  })
})

describe('hasMore', () => {
  it('knows of bytes behind the element that is being handled', async () => {
    const seen: boolean[] = []
    const one = await setup((name) => {
      if (name === 'a') seen.push(one.receiver.hasMore)
    })
    one.client.write(`${header}<a/><b/>`)
    await until('b', () => one.events.includes('b'))
    one.client.write('<a/>')
    await until('two', () => seen.length === 2)
    expect(seen).toEqual([true, false])
  })
})
