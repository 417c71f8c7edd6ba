import { createHash } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { duplexPair } from 'node:stream'
import { connect, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../server-core/log.ts'
import { channelBinding } from '../../server-core/net/channel-binding.ts'
import { type Certificate, HostCertificate, loadCertificate } from '../../server-core/net/tls.ts'
import { type Folder, temporaryFolder } from '../harness/folder.ts'

let folder: Folder
beforeAll(() => {
  folder = temporaryFolder('tls')
})
afterAll(() => folder.remove())

const load = (host: string, certfiles: readonly string[] = []) =>
  loadCertificate(host, { certfiles, cafiles: [] }, folder.path, silentLogger())

/** Both ends of a TLS connection, after the handshake. */
async function handshake(
  certificate: Certificate,
  maxVersion: 'TLSv1.2' | 'TLSv1.3',
): Promise<{ server: TLSSocket; client: TLSSocket }> {
  const [near, far] = duplexPair()
  const server = new TLSSocket(near as never, { isServer: true, secureContext: certificate.context })
  const client = connect({
    socket: far as never,
    servername: certificate.host,
    maxVersion,
    rejectUnauthorized: false,
  })
  await Promise.all([
    new Promise((resolve) => server.once('secure', resolve)),
    new Promise((resolve) => client.once('secureConnect', resolve)),
  ])
  return { server, client }
}

describe('the certificate that is made when there is none', () => {
  it('is for the host, kept for the next start, and nobody else may read its key', async () => {
    const first = await load('verona.example')
    expect(first).toMatchObject({ host: 'verona.example', found: { selfSigned: true } })
    expect(first.found.expires).toBeGreaterThan(Date.now() + 5 * 365 * 86_400_000)
    const file = folder.file('certificates/verona.example.pem')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const kept = readFileSync(file, 'utf8')
    await load('verona.example')
    expect(readFileSync(file, 'utf8')).toBe(kept)
  })

  it('never leaves the folder, whatever the host is called', async () => {
    await load('xn--mnchen-3ya.example')
    await load('münchen.example').catch(() => undefined)
    expect(statSync(folder.file('certificates')).isDirectory()).toBe(true)
  })
})

describe('configured certificates', () => {
  it('serve the host that they are for; others get one of their own', async () => {
    await load('mantua.example')
    const file = folder.file('certificates/mantua.example.pem')
    expect((await load('mantua.example', [file])).found.file).toBe(file)
    expect((await load('padua.example', [file])).found.file).toBe(
      folder.file('certificates/padua.example.pem'),
    )
  })

  it.each([
    ['empty.pem', ''],
    ['only-text.pem', 'not a certificate\n'],
  ])('are refused by name when they hold none: %s', async (name, text) => {
    const file = folder.file(name)
    writeFileSync(file, text)
    await expect(load('verona.example', [file])).rejects.toThrow(
      `${file} holds no certificate or private key`,
    )
  })

  it('are refused by name when the key is another one, or the file is not there', async () => {
    await load('one.example')
    await load('two.example')
    const blocks = (host: string) =>
      readFileSync(folder.file(`certificates/${host}.pem`), 'utf8').split(/(?=-----BEGIN [A-Z ]*PRIVATE KEY)/)
    const mixed = folder.file('mixed.pem')
    writeFileSync(mixed, `${blocks('one.example')[0]}${blocks('two.example')[1]}`)
    await expect(load('one.example', [mixed])).rejects.toThrow(
      `the private key of the certificate in ${mixed} is in none of the certificate files`,
    )
    await expect(load('one.example', [folder.file('gone.pem')])).rejects.toThrow(/gone\.pem/)
  })
})

describe('certificates and keys in files of their own', () => {
  it('find each other, and of two for one host the one that is valid longer is taken', async () => {
    await load('siena.example')
    const [certificate = '', key = ''] = readFileSync(
      folder.file('certificates/siena.example.pem'),
      'utf8',
    ).split(/(?=-----BEGIN [A-Z ]*PRIVATE KEY)/)
    const [chain, secret] = [folder.file('fullchain.pem'), folder.file('privkey.pem')]
    writeFileSync(chain, certificate)
    writeFileSync(secret, key)
    const other = folder.file('certificates/mantua.example.pem')
    expect((await load('siena.example', [secret, other, chain])).found.file).toBe(chain)
    await expect(load('siena.example', [chain])).rejects.toThrow(/is in none of the certificate files/)
  })
})

describe('a certificate that is renewed', () => {
  it('is taken when its file has changed, and one that cannot be used changes nothing', async () => {
    await load('old.example')
    await load('new.example')
    const file = folder.file('live.pem')
    const copy = (host: string) => writeFileSync(file, readFileSync(folder.file(`certificates/${host}.pem`)))
    copy('old.example')
    const certificate = await HostCertificate.open(
      'old.example',
      { certfiles: [file], cafiles: [] },
      folder.path,
      silentLogger(),
    )
    const { context } = certificate
    expect(await certificate.refresh()).toBe(false)
    writeFileSync(file, 'half a certif')
    expect(await certificate.refresh()).toBe(false)
    expect(certificate.context).toBe(context)
    copy('old.example')
    expect(await certificate.refresh()).toBe(true)
    expect(certificate.context).not.toBe(context)
  })
})

describe('channel binding', () => {
  it('over TLS 1.3 is the same on both ends, by exporter and by certificate', async () => {
    const certificate = await load('verona.example')
    const { server, client } = await handshake(certificate, 'TLSv1.3')
    const binding = channelBinding(server, certificate.context)
    expect(binding.types).toEqual(['tls-exporter', 'tls-server-end-point'])
    expect(binding.data('tls-exporter')).toEqual(
      client.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)),
    )
    const { raw } = client.getPeerCertificate()
    expect(binding.data('tls-server-end-point')).toEqual(createHash('sha256').update(raw).digest())
  })

  it('by the first Finished message is not announced, and given to clients that know nothing else', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const certificate = await load('verona.example')
      const { server, client } = await handshake(certificate, version)
      const binding = channelBinding(server, certificate.context)
      expect(binding.types).not.toContain('tls-unique')
      expect(binding.data('tls-unique')).toEqual(client.getFinished())
    }
  })

  it('over TLS 1.2 is by certificate only', async () => {
    const certificate = await load('verona.example')
    const { server } = await handshake(certificate, 'TLSv1.2')
    const binding = channelBinding(server, certificate.context)
    expect(binding.types).toEqual(['tls-server-end-point'])
    expect(binding.data('tls-exporter')).toBeUndefined()
  })
})
