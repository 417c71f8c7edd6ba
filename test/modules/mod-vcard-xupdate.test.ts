import { createHash } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { modVcard } from '../../server-core/modules/mod-vcard.ts'
import { modVcardXupdate, pictureHash } from '../../server-core/modules/mod-vcard-xupdate.ts'
import { StorageUnavailable } from '../../server-core/storage/storage.ts'
import { elementToString } from '../../server-core/xml/serialize.ts'
import { TestClient } from '../harness/client.ts'
import { startServer } from '../harness/server.ts'
import { at } from '../harness/stanza.ts'
import { type FakeSession, here, startHost, type TestHost, xml } from './host.ts'

let host: TestHost
let romeo: FakeSession
let n = 0

beforeAll(async () => {
  host = await startHost([modVcard, modVcardXupdate], { mod_vcard: null, mod_vcard_xupdate: null })
})
afterAll(() => host.stop())
beforeEach(async () => {
  romeo = await host.login(`romeo${++n}@${here}/orchard`)
})

const picture = Buffer.from('a picture')
const hash = createHash('sha1').update(picture).digest('hex')
const card = (content: string): string => `<vCard xmlns='vcard-temp'>${content}</vCard>`
const photo = `<PHOTO><TYPE>image/png</TYPE><BINVAL>${picture.toString('base64').replace(/(.{4})/g, '$1\n')}</BINVAL></PHOTO>`

async function updated(presence: string): Promise<string> {
  const element = await host.hooks.fold('c2s_update_presence', here, xml(presence), { session: romeo })
  return elementToString(element)
}

const update = (content: string): string => `<x xmlns='vcard-temp:x:update'>${content}</x>`

it('hashes the picture, however its text is broken into lines', () => {
  expect(pictureHash(xml(card(photo)))).toBe(hash)
  expect(pictureHash(xml(card('<FN>R</FN>')))).toBe('')
  expect(pictureHash(xml(card('<PHOTO><EXTVAL>http://x</EXTVAL></PHOTO>')))).toBe('')
})

it('says that there is no picture', async () => {
  expect(await updated('<presence/>')).toBe(`<presence>${update('<photo/>')}</presence>`)
})

it('says which picture there is, in place of what the client says', async () => {
  await romeo.iq('set', xml(card(photo)))
  const mine = update('<photo>0123</photo>')
  expect(await updated(`<presence>${mine}<show>away</show></presence>`)).toBe(
    `<presence><show>away</show>${update(`<photo>${hash}</photo>`)}</presence>`,
  )
})

it('leaves unavailable presence alone', async () => {
  expect(await updated("<presence type='unavailable'/>")).toBe("<presence type='unavailable'/>")
})

it('sends presence again when the picture is new', async () => {
  const quiet = await host.login(`${romeo.jid.bareText}/quiet`, { available: false })
  await romeo.iq('set', xml(card(photo)))
  expect(romeo.events).toEqual([{ type: 'inject', element: romeo.presence }])
  expect(quiet.events).toEqual([])
})

it('leaves presence as it is while nobody knows', async () => {
  const { vcards } = host.storage
  const broken = async (): Promise<never> => {
    throw new StorageUnavailable('no disk')
  }
  Object.defineProperty(vcards, 'get', { value: broken, configurable: true })
  expect(await updated('<presence/>')).toBe('<presence/>')
  delete (vcards as unknown as Record<string, unknown>)['get']
  expect(await updated('<presence/>')).toContain('<photo/>')
})

it('reaches those who see the account, over real connections', async () => {
  const modules = { mod_ping: null, mod_roster: null, mod_vcard: null, mod_vcard_xupdate: null }
  const server = await startServer({ config: { modules } })
  await server.must('register_identified', 'romeo', 'localhost', 'pw')
  const login = (resource: string) =>
    TestClient.login({ port: server.port, user: 'romeo', password: 'pw', resource })
  const one = await login('one')
  const other = await login('other')
  await one.available()
  await other.available('<show>away</show>')
  await one.settled()
  await other.settled()
  await one.iq('set', card(photo))
  const seen = await other.waitFor((stanza) => stanza.attrs['from'] === one.jid)
  expect(at(seen, 'x', 'photo')?.text).toBe(hash)
  const own = await one.waitFor((stanza) => stanza.attrs['from'] === other.jid)
  expect(at(own, 'x', 'photo')?.text).toBe(hash)
  expect(at(own, 'show')?.text).toBe('away')
  expect(own.children.filter((child) => child.name === 'x')).toHaveLength(1)
  await Promise.all([one.close(), other.close()])
  expect(await server.stop()).toBe(0)
})
