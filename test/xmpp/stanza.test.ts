import { describe, expect, test } from 'vitest'
import { type Element, el } from '../../server-core/xml/element.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { StanzaError } from '../../server-core/xmpp/errors.ts'
import { makeJid } from '../../server-core/xmpp/jid.ts'
import { errorReply, resultReply, Stanza, stanzaKind } from '../../server-core/xmpp/stanza.ts'

const romeo = makeJid('romeo', 'montague.example', 'orchard')
const juliet = makeJid('juliet', 'capulet.example', 'balcony')
const unavailable = new StanzaError('service-unavailable')
const error =
  "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

function read(text: string): Element {
  return parseElement(text).element ?? el('none')
}

function stanza(text: string): Stanza {
  return new Stanza(romeo, juliet, read(text))
}

function refused(text: string): string | undefined {
  const reply = errorReply(stanza(text), unavailable)
  return reply && elementToString(reply.element)
}

const addresses = "from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard'"

describe('a stanza', () => {
  test('knows its kind, type and id', () => {
    expect(stanza("<message type='chat' id='1'/>")).toMatchObject({ kind: 'message', type: 'chat', id: '1' })
    expect(stanza('<presence/>')).toMatchObject({ kind: 'presence', type: '', id: '', context: undefined })
    expect(stanza("<c:iq xmlns:c='jabber:client' type='get' id=''/>")).toMatchObject({
      kind: 'iq',
      type: 'get',
    })
  })

  test('is one of three', () => {
    expect(['message', 'presence', 'iq', 'auth', 'Message'].map((name) => stanzaKind(el(name)))).toEqual([
      'message',
      'presence',
      'iq',
      undefined,
      undefined,
    ])
    expect(() => stanza('<auth/>')).toThrow(TypeError)
  })

  test('wants an answer when it is a get or a set', () => {
    const types = ['get', 'set', 'result', 'error', 'other']
    expect(types.map((type) => stanza(`<iq type='${type}'/>`).isRequest)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
    expect(stanza("<message type='get'/>").isRequest).toBe(false)
  })

  test('changes by becoming another, which keeps what is known of it', () => {
    const sent = new Stanza(romeo, juliet, el('message', { id: '1' }), { offline: 7 })
    const changed = sent
      .withElement(el('message', { id: '2' }))
      .withTo(juliet.bare)
      .withContext({ rerouted: true })
    expect(changed).toMatchObject({
      id: '2',
      from: romeo,
      to: juliet.bare,
      context: { offline: 7, rerouted: true },
    })
    expect(sent).toMatchObject({ id: '1', to: juliet, context: { offline: 7 } })
  })
})

describe('an error answers', () => {
  test('a message, a presence, a request: the other way round, with its id', () => {
    expect(refused("<message type='chat' id='1' to='x' from='y'><body>hi</body></message>")).toBe(
      `<message type='error' ${addresses} id='1'>${error}</message>`,
    )
    expect(refused('<presence/>')).toBe(`<presence type='error' ${addresses}>${error}</presence>`)
    expect(refused("<presence type='subscribe'/>")).toBe(
      `<presence type='error' ${addresses}>${error}</presence>`,
    )
  })

  test('a request with what was requested', () => {
    expect(refused("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>")).toBe(
      `<iq type='error' ${addresses} id='1'><ping xmlns='urn:xmpp:ping'/>${error}</iq>`,
    )
    expect(refused("<iq type='other' id='1'/>")).toBe(`<iq type='error' ${addresses} id='1'>${error}</iq>`)
  })

  test('as it can be read: with the prefixes that the request declared', () => {
    const reply = refused("<iq type='get' id='1' xmlns:p='urn:p'><p:a><b p:c=''/></p:a></iq>")
    expect(reply).toBe(
      `<iq type='error' ${addresses} id='1'><p:a xmlns:p='urn:p'><b p:c=''/></p:a>${error}</iq>`,
    )
  })

  test('without it when it is longer than 4 KiB', () => {
    const request = (length: number) => `<iq type='set' id='1'><a>${'ä'.repeat(length / 2)}</a></iq>`
    expect(refused(request(4096 - 8))).toContain('<a>')
    expect(refused(request(4096))).toBe(`<iq type='error' ${addresses} id='1'>${error}</iq>`)
  })

  test('as a stanza, from who was meant to who sent it', () => {
    expect(errorReply(stanza("<message id='1'/>"), unavailable)).toMatchObject({
      kind: 'message',
      type: 'error',
      id: '1',
      from: juliet,
      to: romeo,
    })
  })

  test.each([
    "<message type='error'/>",
    "<presence type='error'/>",
    "<iq type='error' id='1'/>",
    "<iq type='result' id='1'/>",
    "<presence type='unavailable'/>",
  ])('never %s', (text) => {
    expect(refused(text)).toBeUndefined()
  })
})

describe('a result', () => {
  test('answers a request, with something or nothing', () => {
    const request = stanza("<iq type='get' id='1'><query xmlns='urn:q'/></iq>")
    const reply = resultReply(request, el('query', { xmlns: 'urn:q' }, el('a')))
    expect(elementToString(reply.element)).toBe(
      `<iq type='result' ${addresses} id='1'><query xmlns='urn:q'><a/></query></iq>`,
    )
    expect(reply).toMatchObject({ kind: 'iq', type: 'result', id: '1', from: juliet, to: romeo })
    expect(elementToString(resultReply(request).element)).toBe(`<iq type='result' ${addresses} id='1'/>`)
  })
})
