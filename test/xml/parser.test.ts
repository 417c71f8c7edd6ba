import { describe, expect, test } from 'vitest'
import { type Element, getTagAttrS, getTagCdata } from '../../server-core/xml/element.ts'
import { parseElement, type XmlLimits, XmlStream } from '../../server-core/xml/parser.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { limits, Recorder, record, streamHeader } from './recorder.ts'

const streams = 'http://etherx.jabber.org/streams'

function texts(recorder: Recorder): string[] {
  return recorder.elements.map(elementToString)
}

/** What is wrong with something inside of a stream: the condition. */
function conditionOf(inside: string | Buffer, changed: Partial<XmlLimits> = {}): string | undefined {
  const whole = Buffer.concat([Buffer.from(streamHeader), Buffer.from(inside)])
  const atOnce = record(whole, [], changed)
  const byByte = record(whole, [1], changed)
  expect(byByte.condition).toBe(atOnce.condition)
  return atOnce.condition
}

describe('a stream', () => {
  test('is its start, its elements, its end', () => {
    const { root, elements, isEnded, errors } = record(
      `${streamHeader}\n<message to='juliet@example.org' id='1'><body>hi</body></message> <presence/><iq/></stream:stream>`,
    )
    expect(root).toMatchObject({ name: 'stream:stream', ns: streams, children: [] })
    expect(root?.attributes).toEqual([
      ['to', 'example.org'],
      ['version', '1.0'],
      ['xmlns', 'jabber:client'],
      ['xmlns:stream', streams],
    ])
    expect(elements.map(({ name, ns }) => [name, ns])).toEqual([
      ['message', 'jabber:client'],
      ['presence', 'jabber:client'],
      ['iq', 'jabber:client'],
    ])
    expect([isEnded, errors]).toEqual([true, []])
  })

  test('may begin without a declaration, with white space, and be empty', () => {
    expect(record(`\r\n <a/>`)).toMatchObject({ root: { name: 'a', ns: '' }, isEnded: true })
    expect(record(`<a></a>`)).toMatchObject({ root: { name: 'a' }, isEnded: true })
  })

  test('has a first element as soon as its last byte has come', () => {
    const recorder = new Recorder()
    const stream = new XmlStream(recorder, limits)
    stream.parse(Buffer.from(`${streamHeader}<iq><a/></iq`))
    expect([recorder.root?.name, recorder.elements.length]).toEqual(['stream:stream', 0])
    stream.parse(Buffer.from('>'))
    expect(recorder.elements).toHaveLength(1)
    stream.parse(Buffer.from('<presence/'))
    expect(recorder.elements).toHaveLength(1)
    stream.parse(Buffer.from('>'))
    expect(recorder.elements).toHaveLength(2)
  })

  test('says nothing behind its end', () => {
    const { elements, errors, isEnded } = record(`${streamHeader}</stream:stream><a/>\x00<<<`, [1])
    expect([elements, errors, isEnded]).toEqual([[], [], true])
  })

  test.each([[[1]], [[2]], [[3]], [[7, 1]], [[200, 1]]])('comes in chunks of any size: %j', (sizes) => {
    const stanza = '<message xml:lang="zh"><body>中文 😀 it&apos;s &#x1F600; ünï</body><x ä="ö"/></message>'
    const recorder = record(`${streamHeader}${stanza}${stanza}</stream:stream>`, sizes)
    expect(recorder.elements).toHaveLength(2)
    for (const element of recorder.elements) {
      expect(getTagCdata(element.children[0] as Element)).toBe("中文 😀 it's 😀 ünï")
    }
    expect(recorder.isEnded).toBe(true)
  })
})

describe('an element', () => {
  test('is in the namespace that it, its parents or its prefix says', () => {
    const { elements } = record(
      `${streamHeader}<iq><query xmlns='urn:q'><item/><p:a xmlns:p='urn:p' p:b=''><p:c/><d/></p:a></query><e/></iq>`,
    )
    const seen: string[] = []
    const walk = (element: Element) => {
      seen.push(`${element.name} ${element.ns}`)
      for (const child of element.children) if (typeof child !== 'string') walk(child)
    }
    elements.forEach(walk)
    expect(seen).toEqual([
      'iq jabber:client',
      'query urn:q',
      'item urn:q',
      'p:a urn:p',
      'p:c urn:p',
      'd urn:q',
      'e jabber:client',
    ])
  })

  test('takes along what it uses of the declarations of the root, so that it can leave the stream', () => {
    const root = "<s:stream xmlns='jabber:client' xmlns:s='urn:s' xmlns:p='urn:p' xmlns:q='urn:q'>"
    const { elements } = record(
      `${root}<s:features/><message><p:x/></message><a q:b='1'><q:c/></a><d xmlns:p='urn:own'><p:e/></d><f/><g xml:lang='en'/>`,
    )
    expect(elements.map(elementToString)).toEqual([
      "<s:features xmlns:s='urn:s'/>",
      "<message xmlns:p='urn:p'><p:x/></message>",
      "<a q:b='1' xmlns:q='urn:q'><q:c/></a>",
      "<d xmlns:p='urn:own'><p:e/></d>",
      '<f/>',
      "<g xml:lang='en'/>",
    ])
  })

  test('but does not grow much by that', () => {
    const root = (length: number) => `<stream xmlns:p='urn:${'x'.repeat(length)}'>`
    expect(texts(record(`${root(200)}<a><p:b/><p:c/></a>`))[0]).toHaveLength(200 + 34)
    expect(record(`${root(300)}<a xmlns:p='urn:own'><p:b/></a>`).condition).toBeUndefined()
    expect(record(`${root(300)}<a><p:b/></a>`).condition).toBe('policy-violation')
  })

  test('keeps its content as it was received', () => {
    const content = `<body a = "1"  >it's &lt;b&gt; &#x41; "></body><x xmlns='urn:x' />`
    const whole = `${streamHeader}<message>${content}</message><iq></iq><iq/>`
    expect(record(whole).elements.map((element) => element.content)).toEqual([content, '', ''])
    expect(record(whole, [150, 40]).elements.map((element) => element.content)).toEqual([content, '', ''])
    const cyrillic = `<body>Привет, &amp; 😀</body>`
    expect(record(`${streamHeader}<a>${cyrillic}</a>`, [160, 7, 9]).elements[0]?.content).toBe(cyrillic)
  })

  test('but not when it is written in a way that some have never seen, or came in very many pieces', () => {
    const contents = (text: string, sizes: number[] = []) =>
      record(streamHeader + text, sizes).elements.map((element) => element.content)
    expect(contents('<a><![CDATA[b]]></a><a>\r\n</a><a>b</a>')).toEqual([undefined, undefined, 'b'])
    expect(contents('<a><b/><c/><d/><e/><f/><g/><h/><i/><j/><k/></a>', [1])).toEqual([undefined])
    expect(texts(record(`${streamHeader}<a><![CDATA[<&]]></a>`))).toEqual(['<a>&lt;&amp;</a>'])
  })

  test('has its texts joined, line ends as LF, references resolved', () => {
    const { elements } = record(
      `${streamHeader}<a>1<![CDATA[2<]]>3&#13;\r\n4\r5&amp;lt;<![CDATA[]]></a><a><![CDATA[]]></a><a><![CDATA[\r\n]]]]></a>`,
    )
    expect(elements.map((element) => element.children)).toEqual([['12<3\r\n4\n5&lt;'], [], ['\n]]']])
  })

  test('has white space in attributes as spaces, unless it is a reference', () => {
    const { elements } = record(`${streamHeader}<a b='1\r\n2\t3\n4&#10;5&#9;6' c="it's" d='"&apos;&quot;>'/>`)
    expect(elements[0]?.attributes).toEqual([
      ['b', '1 2 3 4\n5\t6'],
      ['c', "it's"],
      ['d', `"'">`],
    ])
  })

  test('has the characters of Unicode in its names', () => {
    const { elements } = record(
      `${streamHeader}<ütf-8 名='1' a·b='2' x:ä='3' xmlns:x='urn:x'></ütf-8 ><\u{10000}/>`,
    )
    expect(elements.map(({ name }) => name)).toEqual(['ütf-8', '\u{10000}'])
  })

  test('shares nothing with an equal tag that came before: other namespaces, other children', () => {
    const { elements } = record(
      `${streamHeader}<a><b/></a><a xmlns='urn:o'><b/></a><a><b c='1'/></a><a><b c='1'/></a>`,
    )
    const children = elements.map(({ children: [child] }) => child as Element)
    expect(children.map(({ ns }) => ns)).toEqual(['jabber:client', 'urn:o', 'jabber:client', 'jabber:client'])
    expect(children.map(({ attributes }) => attributes)).toEqual([[], [], [['c', '1']], [['c', '1']]])
  })
})

describe('not well-formed', () => {
  test.each([
    ...[
      '<a></b>',
      '<a></ab>',
      '<ab></a>',
      '<a></a b>',
      '<a><b></a></b>',
      '</a>',
      '</iq>',
      '<iq></iq',
      '<>',
      '< a/>',
    ],
    ...[
      '<a',
      '<a/',
      '<a/ >',
      '<a b/>',
      '<a b=1/>',
      "<a b='1'c='2'/>",
      "<a b='1' b='2'/>",
      "<a b='<'/>",
      '<1/>',
    ],
    ...[
      '<-a/>',
      '<:a/>',
      '<a:/>',
      '<a:b:c/>',
      '<a:1 xmlns:a="urn:a"/>',
      '<a\u00d7/>',
      '<a \u0300b=""/>',
      '<a></ a>',
    ],
    ...[
      '<a>]]></a>',
      '<a>&</a>',
      '<a>&amp</a>',
      '<a>& </a>',
      '<a>&;</a>',
      '<a>&#;</a>',
      '<a>&#x;</a>',
      '<a>&#xg;</a>',
    ],
    ...[
      '<a>&#0;</a>',
      '<a>&#11;</a>',
      '<a>&#xD800;</a>',
      '<a>&#xFFFE;</a>',
      '<a>&#x110000;</a>',
      '<a>&#X41;</a>',
    ],
    ...['<a>\0</a>', '<a>\x0b</a>', '<a>\ufffe</a>', '<a>\uffff</a>', "<a b='\x01'/>", "<a b='\uffff'/>"],
    ...['<a><![CDATA[\0]]></a>', '<a><![cdata[]]></a>', '<a><![</a>', '<!x>', '<!-x-->', '<a b="1\''],
    ...[
      "<a xmlns:b=''/>",
      "<a xmlns:xml='urn:a'/>",
      "<a xmlns:xmlns='urn:a'/>",
      "<a xmlns:b='http://www.w3.org/2000/xmlns/'/>",
    ],
    ...[
      "<a xmlns:b='http://www.w3.org/XML/1998/namespace'/>",
      "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
    ],
    ...[
      "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
      '<xmlns:a/>',
      "<a xmlns:b='urn:a' xmlns:c='urn:a' b:d='' c:d=''/>",
    ],
    `<a>&#${'0'.repeat(50)}65;</a>`,
  ])('%j', (inside) => {
    // What is missing may still come.
    const ended = parseElement(inside).error?.condition
    if (ended !== undefined) expect(ended).toBe('not-well-formed')
    const condition = conditionOf(inside)
    if (condition === undefined) expect(ended).toBe('not-well-formed')
    else expect(condition).toBe('not-well-formed')
  })

  test.each([
    'hello',
    '<?xml version="2.0"?><a/>',
    '<?xml version="1.0" ?',
    "<?xml encoding='UTF-8'?><a/>",
    'GET / HTTP/1.1\r\n',
    '\x16\x03\x01',
    '\ufeff<a/>',
    `<?xml ${' '.repeat(2000)}`,
  ])('at the beginning of a stream: %j', (text) => {
    const recorder = record(text, [1])
    // A declaration that is not finished may still be right.
    if (text !== '<?xml version="1.0" ?') expect(recorder.condition).toBe('not-well-formed')
    expect(record(text).condition).toBe(recorder.condition)
  })

  test.each([
    ['80'],
    ['c0 af'],
    ['c1 81'],
    ['e0 80 80'],
    ['ed a0 80'],
    ['f0 80 80 80'],
    ['f4 90 80 80'],
    ['f5 80 80 80'],
    ['ff'],
    ['c3 28'],
    ['e2 82 28'],
  ])('bytes that are no UTF-8: %s', (hex) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
    for (const place of ['<a>', "<a b='", '<a', '<a><![CDATA[', ''])
      expect(conditionOf(Buffer.concat([Buffer.from(place), bytes, Buffer.from(' ')]))).toBe(
        'not-well-formed',
      )
  })

  test('what comes before it still counts, and nothing after', () => {
    const { elements, errors } = record(`${streamHeader}<a/><b/></c><d/>`)
    expect(elements.map(({ name }) => name)).toEqual(['a', 'b'])
    expect(errors).toHaveLength(1)
    const bad = record(
      Buffer.concat([Buffer.from(`${streamHeader}<a/><b`), Buffer.from([0xff]), Buffer.from('/>')]),
    )
    expect(bad.elements.map(({ name }) => name)).toEqual(['a'])
  })

  test('what is wrong first is what is told, however long the tag is and however it comes', () => {
    const long = `<a b='${'x'.repeat(300)}' c='<' d='${'x'.repeat(100)}`
    const whole = Buffer.concat([Buffer.from(streamHeader + long), Buffer.from([0xff])])
    for (const sizes of [[], [1], [streamHeader.length + 310, 1]]) {
      const { errors } = record(whole, sizes)
      expect(errors.map(({ message }) => message)).toEqual(['a character is not allowed in an attribute'])
    }
    expect(parseElement(long).error?.message).toBe('a character is not allowed in an attribute')
  })

  test('the place is told, the input is not', () => {
    const { errors } = record(`${streamHeader}<secret>&hunter2;</secret>`)
    expect(errors[0]?.offset).toBe(streamHeader.length + 8)
    expect(String(errors[0])).not.toMatch(/secret|hunter/)
  })
})

describe('other conditions', () => {
  test.each([
    ['<!-- a -->', 'restricted-xml'],
    ['<a><!-- a --></a>', 'restricted-xml'],
    ['<?a?>', 'restricted-xml'],
    ['<a><?a b?></a>', 'restricted-xml'],
    ["<?xml version='1.0'?>", 'restricted-xml'],
    ['<!DOCTYPE a>', 'restricted-xml'],
    ['<a>&nbsp;</a>', 'restricted-xml'],
    ['<a>&foo;</a>', 'restricted-xml'],
    ["<a b='&foo;'/>", 'restricted-xml'],
    [`<a>&${'x'.repeat(300)}`, 'restricted-xml'],
    ['<b:a/>', 'bad-namespace-prefix'],
    ['<a><b:a/></a>', 'bad-namespace-prefix'],
    ["<a b:c=''/>", 'bad-namespace-prefix'],
    ["<a xmlns:b='urn:b'><b:c/></a><b:d/>", 'bad-namespace-prefix'],
    ["<a xmlns:b='urn:b'/><b:d/>", 'bad-namespace-prefix'],
    ['hello', 'bad-format'],
    ['<a/>hello', 'bad-format'],
    ['&#32;', 'bad-format'],
    ['<![CDATA[ ]]>', 'bad-format'],
  ])('%s: %s', (inside, condition) => {
    expect(conditionOf(inside)).toBe(condition)
  })

  test('restricted at the beginning of a stream too', () => {
    for (const text of [
      '<?php ?>',
      '<?xml-stylesheet?>',
      '<!DOCTYPE a><a/>',
      '<!-- --><a/>',
      " <?xml version='1.0'?><a/>",
    ])
      expect([record(text).condition, record(text, [1]).condition]).toEqual([
        'restricted-xml',
        'restricted-xml',
      ])
  })

  test('an encoding other than UTF-8', () => {
    const declared = (encoding: string) =>
      record(`<?xml version='1.0' encoding='${encoding}'?><a/>`, [1]).condition
    expect([declared('UTF-8'), declared('utf-8'), declared('ISO-8859-1'), declared('UTF-16')]).toEqual([
      undefined,
      undefined,
      'unsupported-encoding',
      'unsupported-encoding',
    ])
    const utf16 = Buffer.from('<a/>', 'utf16le')
    for (const bytes of [
      utf16,
      Buffer.from(utf16).swap16(),
      Buffer.concat([Buffer.from([0xff, 0xfe]), utf16]),
    ])
      expect([record(bytes).condition, record(bytes, [1]).condition]).toEqual([
        'unsupported-encoding',
        'unsupported-encoding',
      ])
  })
})

describe('limits', () => {
  const inside = (text: string, changed: Partial<XmlLimits>) => record(streamHeader + text, [], changed)

  test('of a stanza: so many bytes and not one more, white space before it not counted', () => {
    const stanza = '<message><body>中文</body></message>'
    const size = Buffer.byteLength(stanza)
    const maxStanzaSize = Math.max(size, Buffer.byteLength(streamHeader))
    const longer = stanza.replace('中文', `中文${'x'.repeat(maxStanzaSize - size)}`)
    expect(inside(`${longer}${' '.repeat(1000)}${longer}${longer}`, { maxStanzaSize }).elements).toHaveLength(
      3,
    )
    for (const sizes of [[], [1], [100]]) {
      const over = record(`${streamHeader}${longer}${longer.replace('中', '中x')}`, sizes, { maxStanzaSize })
      expect(over.elements).toHaveLength(1)
      expect(over.errors[0]).toMatchObject({ condition: 'policy-violation', appCondition: 'stanza-too-big' })
    }
  })

  test('of everything up to the first stanza', () => {
    const over = record(streamHeader, [], { maxStanzaSize: streamHeader.length - 22 })
    expect(over.root).toBeUndefined()
    expect(over.errors[0]).toMatchObject({ condition: 'policy-violation', appCondition: 'stanza-too-big' })
  })

  test('hold while bytes arrive, for whatever never ends', () => {
    const begins = [
      '<a>',
      '<a',
      "<a b='",
      '<a ',
      '<a><![CDATA[',
      '</stream:stream',
      '<a><b></b',
      '<a>&#',
      '<a b',
      '<a><',
    ]
    for (const [n, begin] of begins.entries()) {
      const recorder = new Recorder()
      const stream = new XmlStream(recorder, { ...limits, maxStanzaSize: 10_000 })
      stream.parse(Buffer.from(streamHeader + begin))
      let sent = 0
      const filler = Buffer.from(['x', 'x', 'x', ' ', 'x', ' ', ' ', '0', ' ', 'x'][n] ?? 'x')
      while (recorder.errors.length === 0 && sent < 20_000) {
        stream.parse(filler)
        sent++
      }
      expect([begin, recorder.errors.length]).toEqual([begin, 1])
      expect(sent).toBeLessThanOrEqual(10_001)
      expect(stream.unparsed).toBe(0)
    }
  })

  test('of a name, before it ends', () => {
    for (const begin of ['<', '<a ', '<a><b c="" '])
      for (const sizes of [[], [1], [13]]) {
        const whole = `${streamHeader}${begin}${'x'.repeat(3000)}`
        const { errors } = record(whole, sizes)
        expect(errors[0]).toMatchObject({ condition: 'not-well-formed', message: 'a name is too long' })
      }
    const name = 'ü'.repeat(512)
    expect(conditionOf(`<${name} ${name}=''/>`)).toBeUndefined()
    expect(conditionOf(`<${name}x/>`)).toBe('not-well-formed')
  })

  test('of attributes, namespace declarations included', () => {
    const element = (count: number) =>
      `<a xmlns='urn:a'${Array.from({ length: count - 1 }, (_, n) => ` b${n}=''`).join('')}/>`
    expect(conditionOf(element(100))).toBeUndefined()
    expect(conditionOf(element(101))).toBe('policy-violation')
    // Also of one that is known from where the limit is higher.
    const known = `<x>${element(5)}</x>`
    expect(conditionOf(known + known)).toBeUndefined()
    expect(record(`<root>${known}`, [], { maxAttributes: 4 }).condition).toBe('policy-violation')
  })

  test('of elements in a stanza', () => {
    const stanza = (count: number) => `<a>${'<b/>'.repeat(count - 1)}</a>`
    expect(conditionOf(stanza(4096) + stanza(4096))).toBeUndefined()
    expect(conditionOf(stanza(4097))).toBe('policy-violation')
  })

  test('of depth', () => {
    const stanza = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth)
    expect(conditionOf(stanza(256))).toBeUndefined()
    expect(conditionOf(stanza(257))).toBe('policy-violation')
    expect(conditionOf(`${'<a>'.repeat(256)}<b/>`)).toBe('policy-violation')
  })

  test('can change on the way', () => {
    const recorder = new Recorder()
    const stream = new XmlStream(recorder, { ...limits, maxStanzaSize: 300 })
    stream.parse(Buffer.from(streamHeader))
    stream.setLimits({ ...limits, maxStanzaSize: 1000 })
    stream.parse(Buffer.from(`<a>${'x'.repeat(900)}</a>`))
    expect(recorder.elements).toHaveLength(1)
    stream.setLimits({ ...limits, maxStanzaSize: 100 })
    stream.parse(Buffer.from(`<a>${'x'.repeat(200)}`))
    expect(recorder.condition).toBe('policy-violation')
  })

  test('white space between stanzas may go on for ever', () => {
    const recorder = new Recorder()
    const stream = new XmlStream(recorder, { ...limits, maxStanzaSize: 1000 })
    stream.parse(Buffer.from(streamHeader))
    for (let n = 0; n < 5000; n++) stream.parse(Buffer.from(' \n'))
    stream.parse(Buffer.from('<a/>'))
    expect([recorder.elements.length, recorder.errors, stream.unparsed]).toEqual([1, [], 0])
  })
})

describe('however small the chunks, each byte is looked at a few times', () => {
  // A quadratic parser would need minutes for each of these.
  const long = 200_000
  test.each([
    ['text', `<a>${'x'.repeat(long)}</a>`],
    ['text beyond ASCII', `<a>${'ü'.repeat(long / 2)}</a>`],
    ['brackets', `<a>${'] '.repeat(long / 2)}</a>`],
    ['references', `<a>${'&lt;'.repeat(long / 4)}</a>`],
    ['an attribute', `<a b='${'x'.repeat(long)}'/>`],
    ['an attribute full of what ends tags', `<a b='${'>"'.repeat(long / 2)}'/>`],
    ['white space in a start tag', `<a${' '.repeat(long)}/>`],
    ['white space in an end tag', `<a></a${' '.repeat(long)}>`],
    ['a CDATA section', `<a><![CDATA[${'] ]'.repeat(long / 3)}]]></a>`],
    ['elements', `<a>${'<b/>'.repeat(long / 4)}</a>`],
    ['declarations of namespaces', `<a>${"<b xmlns:c='d'/>".repeat(long / 16)}</a>`],
  ])('%s', (_, stanza) => {
    const recorder = new Recorder()
    const stream = new XmlStream(recorder, { ...limits, maxElements: long })
    const bytes = Buffer.from(streamHeader + stanza)
    for (let at = 0; at < bytes.length; at++) stream.parse(bytes.subarray(at, at + 1))
    expect([recorder.elements.length, recorder.errors]).toEqual([1, []])
  })
})

describe('depth costs no stack', () => {
  test('when it is read and written', () => {
    const depth = 50_000
    const text = '<a>'.repeat(depth) + '</a>'.repeat(depth)
    const { element } = parseElement(text)
    expect(element && elementToString(element)).toBe(text)
    expect(element?.children).toHaveLength(1)
  })
})

describe('a handler in command', () => {
  /** Runs with a handler of ours; what it saw. */
  function drive(onElement: (element: Element, stream: XmlStream, seen: string[]) => void) {
    const seen: string[] = []
    const stream: XmlStream = new XmlStream(
      {
        onStreamStart: (name) => seen.push(`<${name}>`),
        onElement(element) {
          seen.push(element.name)
          onElement(element, stream, seen)
        },
        onStreamEnd: () => seen.push('end'),
        onError: (error) => seen.push(error.condition),
      },
      limits,
    )
    return { stream, seen }
  }

  test('pauses: the rest waits, and what comes meanwhile behind it', () => {
    const { stream, seen } = drive((element) => {
      if (element.name === 'stop') stream.pause()
    })
    const chunk = Buffer.from(`${streamHeader}<a/><stop/><b/><stop/><c>ü`)
    stream.parse(chunk)
    chunk.fill(0)
    expect(seen).toEqual(['<stream:stream>', 'a', 'stop'])
    expect(stream.unparsed).toBe(Buffer.byteLength('<b/><stop/><c>ü'))
    stream.parse(Buffer.from('</c><stop/'))
    expect(seen).toHaveLength(3)
    stream.resume()
    expect(seen.slice(3)).toEqual(['b', 'stop'])
    stream.parse(Buffer.from('></stream:stream>'))
    expect(seen).toHaveLength(5)
    stream.resume()
    expect(seen.slice(5)).toEqual(['c', 'stop'])
    stream.resume()
    expect(seen.slice(7)).toEqual(['end'])
    expect(stream.unparsed).toBe(0)
  })

  test('pauses and resumes at once', () => {
    const { stream, seen } = drive(() => {
      stream.pause()
      stream.resume()
    })
    stream.parse(Buffer.from(`${streamHeader}<a/><b/></stream:stream>`))
    expect(seen).toEqual(['<stream:stream>', 'a', 'b', 'end'])
  })

  test('pauses at the start of an empty root: its end waits', () => {
    const seen: string[] = []
    const stream: XmlStream = new XmlStream(
      {
        onStreamStart() {
          seen.push('start')
          stream.pause()
        },
        onElement() {},
        onStreamEnd: () => seen.push('end'),
        onError: (error) => seen.push(error.condition),
      },
      limits,
    )
    stream.parse(Buffer.from('<a/>'))
    expect(seen).toEqual(['start'])
    stream.resume()
    expect(seen).toEqual(['start', 'end'])
  })

  test('learns of an error only when it goes on', () => {
    const { stream, seen } = drive(() => stream.pause())
    stream.parse(Buffer.concat([Buffer.from(`${streamHeader}<a/>`), Buffer.from([0xff])]))
    expect(seen).toEqual(['<stream:stream>', 'a'])
    stream.resume()
    expect(seen).toEqual(['<stream:stream>', 'a', 'not-well-formed'])
  })

  test('restarts: what follows in the same chunk is a new document', () => {
    const { stream, seen } = drive((element) => {
      if (element.name === 'auth') stream.reset()
    })
    stream.parse(Buffer.from(`${streamHeader}<auth/>\r\n ${streamHeader}<iq/>`))
    expect(seen).toEqual(['<stream:stream>', 'auth', '<stream:stream>', 'iq'])
  })

  test('restarts later, paused meanwhile', () => {
    const { stream, seen } = drive((element) => {
      if (element.name === 'auth') stream.pause()
    })
    const whole = Buffer.from(
      `${streamHeader}<auth/>${streamHeader.replace('xmlns:stream', 'xmlns:s').replace('<stream:', '<s:')}<stream:x/>`,
    )
    for (const byte of whole) stream.parse(Buffer.from([byte]))
    expect(stream.unparsed).toBeGreaterThan(0)
    stream.reset()
    stream.resume()
    // The prefixes of the old stream mean nothing in the new one.
    expect(seen).toEqual(['<stream:stream>', 'auth', '<s:stream>', 'bad-namespace-prefix'])
  })

  test('closes: nothing more', () => {
    const { stream, seen } = drive(() => stream.close())
    stream.parse(Buffer.from(`${streamHeader}<a/><b/>`))
    stream.parse(Buffer.from('<c/></stream:stream>'))
    stream.resume()
    expect(seen).toEqual(['<stream:stream>', 'a'])
    expect(stream.unparsed).toBe(0)
  })

  test('closes while it pauses: nothing is kept', () => {
    const { stream, seen } = drive(() => stream.pause())
    stream.parse(Buffer.from(`${streamHeader}<a/><b/>`))
    expect(stream.unparsed).toBe(4)
    stream.close()
    stream.parse(Buffer.from('<c/>'))
    expect(stream.unparsed).toBe(0)
    stream.resume()
    expect(seen).toEqual(['<stream:stream>', 'a'])
  })

  test('sees how much is behind an element, for what must not be sent before TLS', () => {
    const behind: [bytes: number, isBlank: boolean][] = []
    const { stream } = drive((_, self) => {
      behind.push([self.unparsed, self.unparsedIsBlank])
    })
    stream.parse(Buffer.from(`${streamHeader}<starttls/>`))
    stream.parse(Buffer.from('<starttls/>\r\n'))
    stream.parse(Buffer.from('<starttls/>\n\u00fc'))
    expect(behind).toEqual([
      [0, true],
      [2, true],
      [3, false],
    ])
  })

  test('throws: the stanza was handled, the next one is parsed', () => {
    const { stream, seen } = drive((element) => {
      if (element.name === 'bad') throw new Error('a mistake')
    })
    expect(() => stream.parse(Buffer.from(`${streamHeader}<a/><bad/><b/>`))).toThrow('a mistake')
    stream.parse(Buffer.from('<c/>'))
    expect(seen).toEqual(['<stream:stream>', 'a', 'bad', 'b', 'c'])
  })

  test('feeds it from within: what it feeds comes behind what is there', () => {
    const values: string[] = []
    const { stream, seen } = drive((element) => {
      if (element.name === 'a') stream.parse(Buffer.from("<c id='third'/>"))
      values.push(getTagAttrS('id', element))
    })
    stream.parse(Buffer.from(`${streamHeader}<a id='first'/><b id='second'/>`))
    expect(seen).toEqual(['<stream:stream>', 'a', 'b', 'c'])
    expect(values).toEqual(['first', 'second', 'third'])
  })
})

describe('parseElement', () => {
  test('gives the one element of a text', () => {
    const { element } = parseElement(" <message to='a'>hi</message>\n")
    expect(element).toMatchObject({ name: 'message', ns: '', content: 'hi', children: ['hi'] })
    expect(parseElement("<?xml version='1.0' encoding='UTF-8'?>\n<a/>").element?.name).toBe('a')
    expect(parseElement("<p:a xmlns:p='urn:p'/>").element).toMatchObject({
      ns: 'urn:p',
      attributes: [['xmlns:p', 'urn:p']],
    })
  })

  test.each([
    ['', 'not-well-formed'],
    [' \n', 'not-well-formed'],
    ['text', 'not-well-formed'],
    ['<a>', 'not-well-formed'],
    ['<a', 'not-well-formed'],
    ['<a/><b/>', 'not-well-formed'],
    ['<a/>text', 'not-well-formed'],
    ['<a/></a>', 'not-well-formed'],
    ['<a/><![CDATA[]]>', 'not-well-formed'],
    ['<a/><!-- -->', 'restricted-xml'],
    ['<!DOCTYPE a><a/>', 'restricted-xml'],
    ['<a>&nbsp;</a>', 'restricted-xml'],
    ['<a/><?b?>', 'restricted-xml'],
    ['<b:a/>', 'bad-namespace-prefix'],
    ['<a>\ud800</a>', 'not-well-formed'],
  ])('refuses %j: %s', (text, condition) => {
    expect(parseElement(text).error?.condition).toBe(condition)
  })

  test('has limits when it is given some', () => {
    const text = `<a>${'<b/>'.repeat(10_000)}</a>`
    expect(parseElement(text).element?.children).toHaveLength(10_000)
    expect(parseElement(text, limits).error?.condition).toBe('policy-violation')
    expect(parseElement(`<a>${'x'.repeat(300_000)}</a>`, limits).error?.appCondition).toBe('stanza-too-big')
  })
})
