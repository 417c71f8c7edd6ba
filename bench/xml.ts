/** The XML stream, beside saxes with namespaces building the same trees: chat stanzas in chunks as a socket gives them. */
import { SaxesParser } from 'saxes'
import { type Attribute, Element, type Node } from '../server-core/xml/element.ts'
import { XmlStream } from '../server-core/xml/parser.ts'
import { elementToString } from '../server-core/xml/serialize.ts'
import { median } from './rounds.ts'
import { type Bench, figure } from './table.ts'

/** Microseconds a stanza, medians; the ratio, floor by ours, is the median of the rounds' ratios. */
export interface Row {
  readonly name: string
  readonly ours: number
  readonly floor: number
  readonly ratio: number
}

const header =
  "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' " +
  "xmlns:stream='http://etherx.jabber.org/streams'>"

const bodies = {
  'chat, ASCII':
    "I'll be there at half past seven, could you bring the papers that we talked about yesterday?",
  'chat, Cyrillic': 'Буду в половине восьмого, захвати, пожалуйста, бумаги, о которых мы вчера говорили',
}

function stanza(body: string, i: number): string {
  return (
    `<message from='user${i}@example.org/phone.6Hf82k' to='user${i + 1}@example.org' type='chat' ` +
    `id='b7c1f1d2-${i}-4f3a' xml:lang='en'><body>${body}</body><active xmlns='http://jabber.org/protocol/chatstates'/>` +
    "<request xmlns='urn:xmpp:receipts'/></message>"
  )
}

const limits = {
  maxStanzaSize: 262_144,
  maxElements: 4096,
  maxDepth: 256,
  maxAttributes: 100,
  maxNameBytes: 1024,
}

const stanzas = 2000
const chunkSize = 1400

function chunksOf(body: string): Buffer[] {
  let text = header
  for (let i = 0; i < stanzas; i++) text += stanza(body, i)
  const bytes = Buffer.from(text)
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += chunkSize) chunks.push(bytes.subarray(at, at + chunkSize))
  return chunks
}

function withOurs(chunks: readonly Buffer[], onElement: (element: Element) => void): void {
  const stream = new XmlStream(
    {
      onStreamStart() {},
      onElement,
      onStreamEnd() {},
      onError(error) {
        throw error
      },
    },
    limits,
  )
  for (const chunk of chunks) stream.parse(chunk)
}

interface Open {
  readonly name: string
  readonly attributes: Attribute[]
  readonly children: Node[]
  readonly ns: string
}

function withSaxes(chunks: readonly Buffer[], onElement: (element: Element) => void): void {
  const parser = new SaxesParser({ xmlns: true, position: false })
  const open: Open[] = []
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  parser.on('opentag', (tag) => {
    const attributes: Attribute[] = []
    for (const name in tag.attributes) attributes.push([name, tag.attributes[name]?.value ?? ''])
    open.push({ name: tag.name, attributes, children: [], ns: tag.uri })
  })
  parser.on('text', (text) => {
    if (open.length > 1) open.at(-1)?.children.push(text)
  })
  parser.on('closetag', () => {
    const { name, attributes, children, ns } = open.pop() as Open
    const element = new Element(name, attributes, children, ns)
    if (open.length > 1) open.at(-1)?.children.push(element)
    else onElement(element)
  })
  for (const chunk of chunks) parser.write(decoder.decode(chunk, { stream: true }))
}

/** Both in turns, so that both meet the same noise of the machine. */
function compare(name: string, rounds: number, ours: () => void, floor: () => void): Row {
  const times = (run: () => void) => {
    const start = performance.now()
    run()
    return ((performance.now() - start) * 1000) / stanzas
  }
  for (let round = 0; round < 3; round++) times(ours) + times(floor)
  const pairs = Array.from({ length: rounds }, () => [times(ours), times(floor)] as const)
  return {
    name,
    ours: median(pairs.map(([a]) => a)),
    floor: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => b / a)),
  }
}

export async function xmlRows(rounds = 15): Promise<Row[]> {
  const rows: Row[] = []
  let count = 0
  for (const [name, body] of Object.entries(bodies)) {
    const chunks = chunksOf(body)
    const counting = (element: Element) => {
      if (element.name === 'message') count++
    }
    rows.push(
      compare(
        `parse, ${name}`,
        rounds,
        () => withOurs(chunks, counting),
        () => withSaxes(chunks, counting),
      ),
    )
    const received: Element[] = []
    const built: Element[] = []
    withOurs(chunks, (element) => received.push(element))
    withSaxes(chunks, (element) => built.push(element))
    // What nobody changed is written as it came; beside the same tree written from its parts.
    rows.push(
      compare(
        `write, ${name}`,
        rounds,
        () => {
          for (const element of received) count += elementToString(element).length
        },
        () => {
          for (const element of built) count += elementToString(element).length
        },
      ),
    )
  }
  if (count === 0) throw new Error('nothing was read or written')
  return rows
}

export const xml: Bench = {
  name: 'xml',
  doc: 'a stanza of 400 to 500 bytes read and written, µs, by saxes with namespaces and by writing the tree from its parts',
  async run({ quick }) {
    const rows = await xmlRows(quick ? 3 : 15)
    return {
      columns: ['what', 'ours', 'floor', 'times faster'],
      rows: rows.map(({ name, ours, floor, ratio }) => [name, figure(ours), figure(floor), figure(ratio)]),
      notes: [],
    }
  },
}
