import { describe, expect, test } from 'vitest'
import {
  appendSubtags,
  attr,
  el,
  getAttr,
  getAttrS,
  getCdata,
  getChild,
  getPathS,
  getSubtag,
  getSubtagCdata,
  getTagAttr,
  getTagAttrS,
  getTagCdata,
  localName,
  removeCdata,
  replaceTagAttr,
  withAttributes,
} from '../../server-core/xml/element.ts'
import { parseElement } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'

const body = el('body', {}, 'Wherefore ', el('b', {}, 'art'), 'thou')
const message = el('message', { to: 'romeo', id: '' }, ' ', body, '\n', el('body', {}, 'other'), el('x'))

describe('looking at an element', () => {
  test('attributes: value, empty and absent', () => {
    expect(getTagAttr('to', message)).toEqual({ value: 'romeo' })
    expect(getTagAttr('id', message)).toEqual({ value: '' })
    expect(getTagAttr('from', message)).toBe(false)
    expect([getTagAttrS('to', message), getTagAttrS('id', message), getTagAttrS('from', message)]).toEqual([
      'romeo',
      '',
      '',
    ])
    expect([attr(message, 'to'), attr(message, 'id'), attr(message, 'from')]).toEqual([
      'romeo',
      '',
      undefined,
    ])
    expect(
      getAttr('a', [
        ['a', '1'],
        ['a', '2'],
      ]),
    ).toEqual({ value: '1' })
    expect(getAttrS('b', [['a', '1']])).toBe('')
  })

  test('children: the elements, the direct text, the first of a name', () => {
    expect(removeCdata(message.children).map((child) => child.name)).toEqual(['body', 'body', 'x'])
    expect(getCdata(body.children)).toBe('Wherefore thou')
    expect(getTagCdata(message)).toBe(' \n')
    expect(getSubtag(message, 'body')).toBe(body)
    expect(getSubtag(message, 'subject')).toBe(false)
    expect(getSubtagCdata(message, 'body')).toBe('Wherefore thou')
    expect(getSubtagCdata(message, 'subject')).toBe('')
  })

  test('a path ends at an element, an attribute or a text', () => {
    expect(getPathS(message, [])).toBe(message)
    expect(getPathS(message, [{ elem: 'body' }, { elem: 'b' }])).toEqual(el('b', {}, 'art'))
    expect(getPathS(message, [{ elem: 'body' }, 'cdata'])).toBe('Wherefore thou')
    expect(getPathS(message, [{ attr: 'to' }])).toBe('romeo')
    expect(getPathS(message, [{ elem: 'y' }, { attr: 'to' }])).toBe('')
    expect(getPathS(message, [{ elem: 'y' }, 'cdata'])).toBe('')
    expect(getPathS(message, [{ attr: 'from' }])).toBe('')
    expect(getPathS(message, ['cdata'])).toBe(' \n')
    expect(() => getPathS(message, [{ elem: 'y' }, 'cdata', { elem: 'body' }])).toThrow()
    expect(() => getPathS(message, ['cdata', { elem: 'body' }])).toThrow()
    expect(() => getPathS(message, [{ attr: 'to' }, 'cdata'])).toThrow()
  })

  test('as deep as it may be', () => {
    let deep = el('a', { n: '0' }, 'the bottom')
    for (let n = 0; n < 50_000; n++) deep = el('a', {}, deep)
    const path = Array.from({ length: 50_000 }, () => ({ elem: 'a' }))
    expect(getPathS(deep, [...path, 'cdata'])).toBe('the bottom')
    expect(getPathS(deep, [...path, { attr: 'n' }])).toBe('0')
    expect(getPathS(deep, [...path, { elem: 'a' }])).toBe('')
    const again = parseElement(elementToString(deep)).element
    expect(again && getPathS(again, [...path, 'cdata'])).toBe('the bottom')
  })

  test('by namespace: its own, the one of its parent, the one its prefix means', () => {
    const { element } = parseElement("<a xmlns='urn:a' xmlns:p='urn:p'><b/><p:c/><d xmlns='urn:d'/></a>")
    if (element === undefined) throw new Error('it is well-formed')
    expect(getChild(element, 'b', 'urn:a')?.name).toBe('b')
    expect(getChild(element, 'c', 'urn:p')?.name).toBe('p:c')
    expect(getChild(element, 'd', 'urn:d')?.name).toBe('d')
    expect(getChild(element, 'd', 'urn:a')).toBeUndefined()
    const made = el('a', { xmlns: 'urn:a' }, el('b'))
    expect(getChild(made, 'b', 'urn:a')?.name).toBe('b')
    expect(localName(el('stream:error'))).toBe('error')
  })
})

describe('changing an element makes a new one', () => {
  test('attributes are replaced, added, taken away', () => {
    const changed = withAttributes(message, { to: 'juliet', id: undefined, from: 'romeo' })
    expect(changed.attributes).toEqual([
      ['to', 'juliet'],
      ['from', 'romeo'],
    ])
    expect(changed.children).toBe(message.children)
    expect(message.attributes).toEqual([
      ['to', 'romeo'],
      ['id', ''],
    ])
    expect(replaceTagAttr('type', 'chat', el('a')).attributes).toEqual([['type', 'chat']])
    expect(replaceTagAttr('xmlns', 'urn:b', el('a', { xmlns: 'urn:a' })).ns).toBe('urn:b')
  })

  test('children go behind the others', () => {
    const more = appendSubtags(body, ['!', el('c')])
    expect(elementToString(more)).toBe('<body>Wherefore <b>art</b>thou!<c/></body>')
    expect(body.children).toHaveLength(3)
  })

  test('what is undefined is not there', () => {
    expect(el('a', { b: undefined, c: '' }, undefined, 'd')).toEqual(el('a', { c: '' }, 'd'))
  })
})
