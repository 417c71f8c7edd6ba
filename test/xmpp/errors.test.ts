import { describe, expect, test } from 'vitest'
import { el } from '../../server-core/xml/element.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import {
  isStanzaErrorCondition,
  StanzaError,
  StreamError,
  stanzaErrorConditions,
  stanzaErrorElement,
  streamErrorConditions,
  streamErrorElement,
} from '../../server-core/xmpp/errors.ts'
import { ns } from '../../server-core/xmpp/namespaces.ts'

const stanzas = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
const streams = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"

describe('a stanza error', () => {
  test.each([
    ['bad-request', 'modify'],
    ['conflict', 'cancel'],
    ['feature-not-implemented', 'cancel'],
    ['forbidden', 'auth'],
    ['gone', 'cancel'],
    ['internal-server-error', 'cancel'],
    ['item-not-found', 'cancel'],
    ['jid-malformed', 'modify'],
    ['not-acceptable', 'modify'],
    ['not-allowed', 'cancel'],
    ['not-authorized', 'auth'],
    ['policy-violation', 'modify'],
    ['recipient-unavailable', 'wait'],
    ['redirect', 'modify'],
    ['registration-required', 'auth'],
    ['remote-server-not-found', 'cancel'],
    ['remote-server-timeout', 'wait'],
    ['resource-constraint', 'wait'],
    ['service-unavailable', 'cancel'],
    ['subscription-required', 'auth'],
    ['undefined-condition', 'cancel'],
    ['unexpected-request', 'wait'],
  ] as const)('%s is of type %s', (condition, type) => {
    expect(elementToString(stanzaErrorElement(new StanzaError(condition)))).toBe(
      `<error type='${type}'><${condition} ${stanzas}/></error>`,
    )
    expect(stanzaErrorConditions).toContain(condition)
  })

  test('has 22 conditions', () => {
    expect(stanzaErrorConditions).toHaveLength(22)
    expect(isStanzaErrorCondition('gone')).toBe(true)
    expect(isStanzaErrorCondition('text')).toBe(false)
    expect(isStanzaErrorCondition('toString')).toBe(false)
  })

  test('can say more: another type, a text, its own condition, where else, who found it', () => {
    const error = new StanzaError('not-acceptable', "isn't", {
      type: 'cancel',
      extra: el('blocked', { xmlns: ns.blockingErrors }),
      by: 'example.org',
    })
    expect(elementToString(stanzaErrorElement(error))).toBe(
      `<error type='cancel' by='example.org'><not-acceptable ${stanzas}/>` +
        `<text ${stanzas} xml:lang='en'>isn&apos;t</text><blocked xmlns='urn:xmpp:blocking:errors'/></error>`,
    )
    const gone = new StanzaError('gone', undefined, { uri: 'xmpp:romeo@afterlife.example' })
    expect(elementToString(stanzaErrorElement(gone))).toBe(
      `<error type='cancel'><gone ${stanzas}>xmpp:romeo@afterlife.example</gone></error>`,
    )
    expect(String(error)).toBe("StanzaError: not-acceptable: isn't")
  })
})

describe('a stream error', () => {
  test('is an element of the stream', () => {
    const element = streamErrorElement(new StreamError('system-shutdown'))
    expect(element.ns).toBe(ns.streams)
    expect(elementToString(element)).toBe(`<stream:error><system-shutdown ${streams}/></stream:error>`)
  })

  test('can say more: a text, its own condition, where else', () => {
    const extra = el('stanza-too-big', { xmlns: ns.xmppErrors })
    expect(
      elementToString(streamErrorElement(new StreamError('policy-violation', 'too big', { extra }))),
    ).toBe(
      `<stream:error><policy-violation ${streams}/><text ${streams} xml:lang='en'>too big</text>` +
        `<stanza-too-big xmlns='urn:xmpp:errors'/></stream:error>`,
    )
    const other = new StreamError('see-other-host', undefined, { host: '[::1]:5222' })
    expect(elementToString(streamErrorElement(other))).toBe(
      `<stream:error><see-other-host ${streams}>[::1]:5222</see-other-host></stream:error>`,
    )
  })

  test('has the 25 conditions of RFC 6120', () => {
    expect(new Set(streamErrorConditions).size).toBe(25)
  })
})
